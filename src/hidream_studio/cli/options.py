"""What can be said on the command line, and how it becomes Settings and a GenerationRequest. Runs nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_settings import SettingsError

import hidream_studio
from hidream_studio.errors import RequestError
from hidream_studio.job.profiles import PROFILE_IDS, PresetId, Recipe, Sampler
from hidream_studio.job.request import GenerationRequest, Noise
from hidream_studio.job.validation import parse_request, request_error
from hidream_studio.settings import Precision, Settings

# option -> field of GenerationRequest, where they differ
_REQUEST_FIELDS = {
    "prompt": "prompt", "negative": "negative_prompt", "width": "width", "height": "height", "steps": "steps",
    "guidance": "guidance_scale", "seed": "seed", "preset": "preset", "recipe": "recipe", "sampler": "sampler",
    "shift": "shift", "noise_scale": "noise_scale", "noise": "noise", "lora": "loras",
}  # fmt: skip
MODEL_OPTIONS = ("model", "tokenizer", "profile", "device", "precision", "fused", "threads", "vram", "loras")
_SERVER_OPTIONS = (*MODEL_OPTIONS, "host", "port", "data", "token_file", "root_path", "queue_limit")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="hidream-studio",
        description="A local studio for HiDream-O1-Image: explore cheap, finish the picks.",
        epilog="Without --model everything runs on the embedded o1-tiny, on a CPU.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"hidream-studio {hidream_studio.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_generate(commands)
    _add_resolve(commands)
    commands.add_parser("bench", help="what settings cost in seconds and in quality, over HTTP (bench --help)")
    _add_convert(commands)
    doctor = commands.add_parser("doctor", help="what this machine can run, and what it lacks", allow_abbrev=False)
    doctor.add_argument("--json", action="store_true", help="as JSON")
    _add_model_options(doctor)
    doctor.add_argument("--data", type=Path, metavar="DIR", help="data folder to look at")
    return top


def settings_from(arguments: argparse.Namespace) -> Settings:
    """What was said here, else the environment's HIDREAM_STUDIO_*, else the defaults.

    Raises
    ------
    RequestError
        naming the option or the variable that does not fit.
    """
    said = {name: getattr(arguments, name, None) for name in _SERVER_OPTIONS}
    values: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise request_error(error.errors(include_url=False)) from None
    except SettingsError as error:
        raise RequestError(f"a HIDREAM_STUDIO_ variable cannot be read: {error}") from None


def request_from(arguments: argparse.Namespace) -> GenerationRequest:
    """The picture that is asked for. Raises RequestError, naming the field."""
    said = {field: getattr(arguments, option) for option, field in _REQUEST_FIELDS.items()}
    if arguments.no_snap:
        said["snap_resolution"] = False
    if arguments.keep_aspect:
        said["keep_aspect"] = True
    if arguments.layout is not None:
        from hidream_studio.cli.pictures import read_layout

        said["layout"] = read_layout(arguments.layout)
    return parse_request(GenerationRequest, {field: value for field, value in said.items() if value is not None})


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve", help="the studio: a page, an HTTP interface, a resident model", allow_abbrev=False
    )
    _add_model_options(serve)
    serve.add_argument("--host", help="address to listen on (127.0.0.1); another than this machine's own needs a token")
    serve.add_argument("--port", type=int, help="port (7860); 0 for any that is free")
    serve.add_argument("--data", type=Path, metavar="DIR", help="folder for pictures and history")
    serve.add_argument("--loras", type=Path, metavar="DIR", help="folder of LoRA files; loras in that of --data")
    serve.add_argument("--token-file", type=Path, metavar="FILE", help="holds the token; or set HIDREAM_STUDIO_TOKEN")
    serve.add_argument("--root-path", metavar="/PATH", help="what a proxy puts before every path, taken off or not")
    serve.add_argument("--queue-limit", type=int, metavar="N", help="jobs that may wait (200)")


def _add_generate(commands: Any) -> None:
    generate = commands.add_parser("generate", help="one picture from a prompt", allow_abbrev=False)
    generate.add_argument("prompt", metavar="PROMPT")
    generate.add_argument("--negative", metavar="TEXT", help="what should not be there")
    generate.add_argument("--width", type=int, metavar="PX")
    generate.add_argument("--height", type=int, metavar="PX")
    generate.add_argument("--steps", type=int)
    generate.add_argument("--guidance", type=float, help="guidance scale; at or below 1 a step costs half")
    generate.add_argument("--seed", type=int, help="random when absent")
    generate.add_argument("--preset", choices=get_args(PresetId), help="fills in size, steps and guidance")
    generate.add_argument("--recipe", choices=get_args(Recipe))
    generate.add_argument(
        "--sampler",
        choices=get_args(Sampler),
        help="unipc, euler of the full recipe; of dev beside pictures flow_match (one picture), flash (several)",
    )
    generate.add_argument("--shift", type=float)
    generate.add_argument("--noise-scale", type=float)
    generate.add_argument("--no-snap", action="store_true", help="render the size as asked, not the closest fixed one")
    generate.add_argument("--noise", choices=get_args(Noise), help="linked: one seed is one picture at every size")
    generate.add_argument(
        "--lora",
        action="append",
        type=_lora,
        metavar="NAME[=STRENGTH]",
        help="a LoRA, -2 to 2 (1); up to 8 of them",
    )
    generate.add_argument("--loras", type=Path, metavar="DIR", help="folder of LoRA files; loras in the data folder")
    generate.add_argument(
        "--ref", type=Path, action="append", metavar="FILE", help="a picture to draw from; again for each further one"
    )
    generate.add_argument(
        "--layout", metavar="JSON|FILE", help="where each picture stands: [[x1, x2, y1, y2], …], each 0 to 1"
    )
    generate.add_argument("--keep-aspect", action="store_true", help="draw in the aspect ratio of the one picture")
    generate.add_argument("--url", metavar="SERVER", help="ask a running server, which has the model already")
    generate.add_argument("--token-file", type=Path, metavar="FILE", help="the server's token; or HIDREAM_STUDIO_TOKEN")
    generate.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where to write it: .png, .jpg or .webp, as it ends (hidream-SEED.png, then hidream-SEED-2.png …)",
    )
    generate.add_argument("--force", action="store_true", help="write over the file of --out where there is one")
    generate.add_argument("--json", action="store_true", help="print all that is known of the picture, as JSON")
    _add_model_options(generate)


def _lora(text: str) -> dict[str, Any]:
    """NAME=STRENGTH; a name may hold an equals sign before the last."""
    name, equals, strength = text.rpartition("=")
    if not equals:
        return {"name": text}
    try:
        return {"name": name, "strength": float(strength)}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: the strength is no number; write it as ink=0.8") from None


def _add_resolve(commands: Any) -> None:
    resolve = commands.add_parser("resolve", help="the size that would be rendered, and why", allow_abbrev=False)
    resolve.add_argument("size", metavar="WIDTHxHEIGHT")
    resolve.add_argument("--no-snap", action="store_true", help="as asked, rounded to 32 px")
    resolve.add_argument("--profile", metavar="NAME", help=f"{', '.join(PROFILE_IDS)} (the first)")


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert", help="a checkpoint as a folder of its own, in 8 bits where wanted", allow_abbrev=False
    )
    convert.add_argument("source", metavar="SOURCE", help="folder, file or hub id")
    convert.add_argument("destination", type=Path, metavar="DEST", help="folder that is not there yet")
    convert.add_argument(
        "--precision", choices=("fp8", "int8", "bf16"), default="fp8", help="of the layers' matrices (fp8)"
    )
    convert.add_argument("--tokenizer", metavar="DIR|HUB-ID", help="where SOURCE is one file of weights")


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="DIR|FILE|HUB-ID", help="checkpoint; the embedded o1-tiny when absent")
    command.add_argument(
        "--tokenizer",
        metavar="DIR|HUB-ID",
        help="where the model is one file of weights: a tokenizer, fetched from a hub once",
    )
    command.add_argument(
        "--profile", metavar="NAME", help=f"where the checkpoint does not say: {', '.join(PROFILE_IDS)}"
    )
    command.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1 …")
    command.add_argument(
        "--precision",
        choices=get_args(Precision),
        help="when absent the model's own (o1-tiny: fp32), else fp32 on a CPU, bf16 on a GPU that holds it, or fp8",
    )
    command.add_argument(
        "--fused",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="our own kernels on a GPU; wherever they run when absent",
    )
    command.add_argument(
        "--vram",
        metavar="GB|auto",
        help="memory of the GPU that may be taken: weights that do not fit travel in each step (auto: what is free)",
    )
    command.add_argument("--threads", type=int, metavar="N", help="CPU threads of the model; all cores when absent")
