"""The benchmark's options, and what they say as values. Asks no server and measures nothing."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from hidream_studio.bench.plan import (
    Fixed,
    Wishes,
    check_names,
    parse_reference,
    parse_seed,
    parse_size,
    parse_variant,
)
from hidream_studio.bench.suites import SUITES, Prompt, suite
from hidream_studio.errors import RequestError
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.validation import parse_request

DEFAULT_URL = "http://127.0.0.1:7860"

EXAMPLES = """\
Every variant is drawn at every size, for every prompt and seed. Examples:
  %(prog)s --prompt "A cinematic portrait photo …" --seed 42 --variant s20_g5,20,5 --variant s50_g5,50,5
  %(prog)s --prompt … --variant s20_g5,20,5 --size 1024x1024 --size 2048x2048 --no-snap-resolution --noise linked
  %(prog)s --suite o1-tiny --variant s8,8,3 --variant s20,20,3 --repeat 3 --limit adherence=0.9
An interrupted run goes on where it was: give the same command again."""


def parser(prog: str = "hidream-studio bench") -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(
        prog=prog,
        description="Measure, over HTTP against a running server, what every setting costs and what it loses.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_what(parse.add_argument_group("what to draw"))
    _add_how(parse.add_argument_group("how to measure"))
    _add_where(parse.add_argument_group("where"))
    return parse


def _add_what(what: argparse._ArgumentGroup) -> None:
    what.add_argument("--prompt", action="append", default=[], help="may be given several times")
    what.add_argument("--suite", help=f"a suite of prompts: {', '.join(SUITES)}")
    what.add_argument("--seed", action="append", default=[], help="may be given several times (42)")
    what.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME,STEPS,GUIDANCE",
        help="may be given several times (20, 28, 36 steps and the recipe's own, at its guidance)",
    )
    what.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="WxH",
        help="in px, may be given several times (the model's native square)",
    )
    what.add_argument(
        "--snap-resolution",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="map sizes to the model's own, or render them as asked (snap; with --api openai as asked)",
    )
    what.add_argument(
        "--noise",
        choices=("upstream", "linked"),
        help="linked makes one seed one picture at every size (the server's default)",
    )
    what.add_argument("--sampler", choices=("unipc", "euler"))
    what.add_argument("--recipe", choices=("full", "dev"))
    what.add_argument("--negative-prompt")


def _add_how(how: argparse._ArgumentGroup) -> None:
    how.add_argument("--repeat", type=_positive, default=1, metavar="N", help="runs of every setting (1)")
    how.add_argument(
        "--reference",
        default="official",
        metavar="VARIANT[@WxH]|none",
        help="what loss is measured against (the profile's official recipe)",
    )
    how.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="how much may be lost at a sweet spot; may be given several times",
    )


def _add_where(where: argparse._ArgumentGroup) -> None:
    where.add_argument("--url", default=DEFAULT_URL, help=f"the server ({DEFAULT_URL})")
    where.add_argument(
        "--api", choices=("studio", "openai"), default="studio", help="openai: any server of the OpenAI image shape"
    )
    where.add_argument("--model", help="model name to send with --api openai")
    where.add_argument("--token-file", type=Path, help="the server's token (else HIDREAM_STUDIO_TOKEN)")
    where.add_argument("--timeout", type=_positive, default=3600, metavar="S", help="for one picture (3600 s)")
    where.add_argument("--out", type=Path, metavar="DIR", help="folder of the reports (bench-out/NAME)")


def wishes_of(arguments: argparse.Namespace) -> Wishes:
    """The options as values.

    Raises
    ------
    RequestError
        naming the option that does not fit.
    """
    prompts = [Prompt(text, f"prompt {index + 1}") for index, text in enumerate(dict.fromkeys(arguments.prompt))]
    prompts += suite(arguments.suite) if arguments.suite else ()
    if not prompts:
        raise RequestError(f"give --prompt or --suite ({', '.join(SUITES)})", field="prompt")
    for prompt in prompts:
        parse_request(GenerationRequest, {"prompt": prompt.text})
    _check_api(arguments)
    variants = tuple(dict.fromkeys(parse_variant(text) for text in arguments.variant))
    check_names(variants)
    snap: bool | None = arguments.snap_resolution
    return Wishes(
        prompts=tuple(prompts),
        seeds=tuple(dict.fromkeys(parse_seed(text) for text in arguments.seed)) or (42,),
        variants=variants,
        sizes=tuple(dict.fromkeys(parse_size(text) for text in arguments.size)),
        fixed=Fixed(
            snap_resolution=arguments.api == "studio" if snap is None else snap, noise=arguments.noise,
            sampler=arguments.sampler, recipe=arguments.recipe,
            negative_prompt=arguments.negative_prompt, model=arguments.model,
        ),
        reference=parse_reference(arguments.reference, variants),
        api=arguments.api,
    )  # fmt: skip


def token_of(file: Path | None) -> str | None:
    """From the file, else from the environment; never from the command line, which others can read."""
    if file is None:
        return os.environ.get("HIDREAM_STUDIO_TOKEN") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--token-file {file} cannot be read: {error}", field="token_file") from error


def _check_api(arguments: argparse.Namespace) -> None:
    """Raises RequestError where an option has no place in the API that was chosen: nothing is left out silently."""
    foreign = {"studio": ("model",), "openai": ("noise", "sampler", "recipe")}
    for name in foreign[arguments.api]:
        if getattr(arguments, name) is not None:
            raise RequestError(f"--{name} is not part of --api {arguments.api}", field=name)


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
