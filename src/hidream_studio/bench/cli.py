"""The benchmark's command line: wishes in, a folder of reports out. The table goes to stdout, progress to stderr."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hidream_studio.bench.client import ImageServer, OpenAiServer, StudioServer
from hidream_studio.bench.folder import RunFolder
from hidream_studio.bench.losses import measure_losses
from hidream_studio.bench.machine import describe_machine
from hidream_studio.bench.plan import (
    Fixed,
    Plan,
    Wishes,
    check_names,
    parse_reference,
    parse_seed,
    parse_size,
    parse_variant,
    shots,
)
from hidream_studio.bench.report.tables import plain_text, summary_table
from hidream_studio.bench.report.write import write_report
from hidream_studio.bench.results import gather
from hidream_studio.bench.run import Progress, estimates_s, expectations_s, measure
from hidream_studio.bench.settle import Settled, settle
from hidream_studio.bench.suites import SUITES, Prompt, suite
from hidream_studio.bench.sweet_spots import parse_limit
from hidream_studio.errors import RemoteError, RequestError, StudioError
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.validation import parse_request

DEFAULT_URL = "http://127.0.0.1:7860"
DEFAULT_OUT = Path("bench-out")
READY_TIMEOUT_S = 900.0
DONE, FAILED, WRONG_CALL = 0, 1, 2

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
    what = parse.add_argument_group("what to draw")
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
    how = parse.add_argument_group("how to measure")
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
    where = parse.add_argument_group("where")
    where.add_argument("--url", default=DEFAULT_URL, help=f"the server ({DEFAULT_URL})")
    where.add_argument(
        "--api", choices=("studio", "openai"), default="studio", help="openai: any server of the OpenAI image shape"
    )
    where.add_argument("--model", help="model name to send with --api openai")
    where.add_argument("--token-file", type=Path, help="the server's token (else HIDREAM_STUDIO_TOKEN)")
    where.add_argument("--timeout", type=_positive, default=3600, metavar="S", help="for one picture (3600 s)")
    where.add_argument("--out", type=Path, metavar="DIR", help="folder of the reports (bench-out/NAME)")
    return parse  # fmt: skip


def main(argv: Sequence[str] | None = None, *, prog: str = "hidream-studio bench") -> int:
    """Run the benchmark; the process's exit code: 0, 1 for work that failed, 2 for a wrong call."""
    try:
        arguments = parser(prog).parse_args(argv)
    except SystemExit as stop:  # argparse's way out, after its own message
        return stop.code if isinstance(stop.code, int) else WRONG_CALL
    try:
        return _run(arguments, shlex.join([prog, *(sys.argv[1:] if argv is None else argv)]))
    except RequestError as error:
        _say(f"{prog}: {error.message}")
        return WRONG_CALL
    except StudioError as error:
        _say(f"{prog}: {error.message}")
        return FAILED
    except KeyboardInterrupt:
        _say(f"{prog}: interrupted")
        return FAILED


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


def _check_api(arguments: argparse.Namespace) -> None:
    """Raises RequestError where an option has no place in the API that was chosen: nothing is left out silently."""
    foreign = {"studio": ("model",), "openai": ("noise", "sampler", "recipe")}
    for name in foreign[arguments.api]:
        if getattr(arguments, name) is not None:
            raise RequestError(f"--{name} is not part of --api {arguments.api}", field=name)


def _run(arguments: argparse.Namespace, command: str) -> int:
    wishes = wishes_of(arguments)
    limits = dict(parse_limit(text) for text in arguments.limit) or None
    server = _server(arguments, wishes.fixed)
    try:
        identity = _wait_until_ready(server, arguments.url)
        settled = settle(wishes, server, identity)
        plan = settled.plan
        out = arguments.out or DEFAULT_OUT / f"{_slug(plan)}-{plan.short_hash()}"
        about = {
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"), "command": command, "url": arguments.url,
            "machine": describe_machine(), "server": identity,
            "estimates_s": estimates_s(plan, server),
        }  # fmt: skip
        folder = RunFolder.open(out, plan.identity(), about)
        try:
            return _measure_and_report(settled, arguments.repeat, server, folder, limits)
        finally:
            folder.close()
    finally:
        server.close()


def _measure_and_report(
    settled: Settled, repeats: int, server: ImageServer, folder: RunFolder, limits: dict[str, float] | None
) -> int:
    plan = settled.plan
    planned = sum(1 for _ in shots(plan, repeats))
    _announce(settled, planned, folder)
    about = folder.about()
    failure: BaseException | None = None
    bar = _Bar()
    try:
        expected = expectations_s(plan, about.get("estimates_s", {}))
        measure(
            plan, repeats, server, folder, expected,
            on_start=bar.start, on_next=bar.next, on_done=bar.done,
        )  # fmt: skip
    except (StudioError, KeyboardInterrupt) as error:
        failure = error
    finally:
        bar.close()
    if not folder.samples:
        raise failure or RemoteError("nothing was measured")
    _say("comparing the pictures and writing the report …")
    losses = measure_losses(plan, folder)
    results = gather(plan, about, settled.notes, folder.samples, losses, limits=limits, planned=planned)
    page = write_report(results, folder)
    print(plain_text(summary_table(results)))  # noqa: T201 - results go to stdout
    _say(f"report: {page}")
    if failure is None:
        return DONE
    reason = "interrupted" if isinstance(failure, KeyboardInterrupt) else str(failure)
    _say(f"stopped after {len(folder.samples)} of {planned} pictures: {reason}")
    _say("what was measured is kept; the same command goes on from there")
    return WRONG_CALL if isinstance(failure, RequestError) else FAILED


def _announce(settled: Settled, planned: int, folder: RunFolder) -> None:
    for note in settled.notes:
        _say(f"note: {note}")
    kept = len(folder.samples)
    resumed = f", {kept} of them already measured" if kept else ""
    settings = len(settled.plan.settings)
    _say(f"{planned} pictures in {settings} setting{'' if settings == 1 else 's'}{resumed}; into {folder.path}")


def _server(arguments: argparse.Namespace, fixed: Fixed) -> ImageServer:
    kind = StudioServer if arguments.api == "studio" else OpenAiServer
    return kind(arguments.url, fixed, token=_token(arguments.token_file), timeout_s=float(arguments.timeout))


def _token(file: Path | None) -> str | None:
    """From the file, else from the environment; never from the command line, which others can read."""
    if file is None:
        return os.environ.get("HIDREAM_STUDIO_TOKEN") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--token-file {file} cannot be read: {error}", field="token_file") from error


def _wait_until_ready(
    server: ImageServer, url: str, *, sleep: Callable[[float], None] = time.sleep, limit_s: float = READY_TIMEOUT_S
) -> dict[str, Any]:
    """The server's description of itself, once its model is resident, so that loading is never measured."""
    waited_s, told = 0.0, ""
    while True:
        identity = server.identify()
        if identity.get("ready", True):
            return identity
        phase = str(identity.get("phase"))
        if phase != told:
            _say(f"{url} is not ready yet: {phase}")
            told = phase
        if waited_s >= limit_s:
            raise RemoteError(f"{url} was not ready after {limit_s:.0f} s: {phase}")
        sleep(1.0)
        waited_s += 1.0


def _slug(plan: Plan) -> str:
    """A folder name that a person recognises."""
    words = re.findall(r"[a-z0-9]+", plan.wishes.prompts[0].text.lower())
    return "-".join(words)[:40].strip("-") or "run"


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress goes to stderr


class _Bar:
    """A progress bar in expected seconds, so that its time to go is right where settings differ much."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def start(self, expected_s: float) -> None:
        if expected_s <= 0:
            return  # everything was measured before
        bar_format = "{desc} {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} to go"
        quiet = None if sys.stderr.isatty() else 10.0
        self._bar = tqdm(
            total=expected_s, file=sys.stderr, bar_format=bar_format, smoothing=0.05, mininterval=quiet or 0.1,
            dynamic_ncols=True,
        )  # fmt: skip

    def next(self, step: Progress) -> None:
        if self._bar is not None:
            self._bar.set_description_str(f"{step.what:<32}", refresh=sys.stderr.isatty())

    def done(self, step: Progress) -> None:
        if self._bar is not None:
            self._bar.update(min(step.weight_s, max((self._bar.total or 0.0) - self._bar.n, 0.0)))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
