"""`hidream-studio generate`: one picture, drawn in this process, or by a server that has the model already (--url)."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import hidream_studio
from hidream_studio.cli.options import MODEL_OPTIONS, request_from, settings_from
from hidream_studio.cli.pictures import GivenPicture, read_files, read_pictures
from hidream_studio.cli.progress import Progress
from hidream_studio.errors import RequestError, StudioError
from hidream_studio.image.convert import Kind, converted, kind_of
from hidream_studio.image.metadata import picture_chunks
from hidream_studio.image.png import encode_png
from hidream_studio.image.references import prepare
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import new_id
from hidream_studio.job.job import PinnedJob, pin
from hidream_studio.job.loras import LoraUse
from hidream_studio.job.record import Timings
from hidream_studio.job.request import GenerationRequest
from hidream_studio.library.files import write_durably
from hidream_studio.model.config import ModelConfig
from hidream_studio.service.checkpoint import read_checkpoint
from hidream_studio.service.loras import LoraShelf
from hidream_studio.settings import Settings, openmp_waiting

# of a job: told together as `requested`, and of drafts, of which there are none here
NOT_TOLD = frozenset({"requested_width", "requested_height", "parent_id", "finish_mode", "strength"})


def run(arguments: argparse.Namespace) -> int:
    request = request_from(arguments)
    settings = settings_from(arguments)
    kind = _check_out(arguments.out, force=arguments.force)
    if arguments.url is not None:
        from hidream_studio.cli.remote import draw_remotely

        _refuse_model_options(arguments)
        png, facts = draw_remotely(arguments.url, request, settings, read_files(arguments.ref or ()))
    else:
        png, facts = _draw_here(request, settings, read_pictures(arguments.ref or ()))
    content, lost = converted(png, kind)
    if arguments.out is not None:
        out = arguments.out
        _write(out, content)
    else:
        out = _write_numbered(Path(f"hidream-{facts['seed']}.png"), content)
    if lost is not None:
        print(lost, file=sys.stderr)
    _tell_adjustments(facts["adjustments"])
    print(json.dumps({"path": str(out), **facts}, ensure_ascii=False, indent=2) if arguments.json else out)
    return 0


def _draw_here(
    request: GenerationRequest, settings: Settings, given: Sequence[GivenPicture]
) -> tuple[bytes, dict[str, Any]]:
    references = tuple(one.reference for one in given)
    if Path(settings.checkpoint).exists():  # a request that cannot be met is refused before the model is loaded
        checkpoint = read_checkpoint(settings.checkpoint, settings.profile, settings.tokenizer)
        if checkpoint.config is not None:  # else the pipeline says what is wrong with it
            with_hashes, _, _ = _with_loras(request, settings, checkpoint.config)
            checkpoint.check(pin(with_hashes, checkpoint.profile, references=references).job)
    with Progress() as progress:
        progress.phase("starting torch")
        os.environ.update(openmp_waiting(os.environ))  # as scheduler/process.py gives it to the worker
        from hidream_studio.engine.pipeline import Pipeline

        pipeline = Pipeline.load(
            settings.checkpoint, profile=settings.profile, device=settings.device, precision=settings.precision,
            fused=settings.fused, threads=settings.threads, vram_gib=settings.vram,
            tokenizer=settings.tokenizer, on_phase=progress.phase,
        )  # fmt: skip
        request, lora_paths, renamed = _with_loras(request, settings, pipeline.config)
        pinned = pin(request, pipeline.profile, references=references)
        job = pinned.job
        pictures = prepare(
            [one.picture for one in given], job.width, job.height, layout=job.layout,
            kept_side=job.kept_side(pipeline.profile),
        )  # fmt: skip
        pipeline.loras.know(lora_paths)
        pipeline.check_prompt(job, pictures)
        render = pipeline.render(job, references=pictures)
        while True:
            try:
                step = next(render)
            except StopIteration as end:
                rendered = end.value
                break
            progress.step(step.index + 1, step.total)
    changed = (*renamed, *(told for one in given for told in one.changed))
    pinned = replace(pinned, adjustments=pinned.adjustments + changed)
    timings = Timings(rendered.text_s, rendered.steps_s, rendered.decode_s)
    image_id, origin = new_id(), {
        "model": pipeline.model_name, "fingerprint": pipeline.fingerprint, "numeric_path": pipeline.numeric_path,
    }  # fmt: skip
    chunks = picture_chunks(
        job, image_id=image_id, created_at=utc_now(), timings=timings, adjustments=pinned.adjustments,
        version=hidream_studio.__version__, thumbnails={one.reference.hash: one.tiny() for one in given}, **origin,
    )  # fmt: skip
    begin_s = time.perf_counter()
    png = encode_png(rendered.pixels, chunks)
    timings = replace(timings, png_s=time.perf_counter() - begin_s)
    return png, {"id": image_id, **_facts(pinned, timings), "precision": pipeline.precision, **origin}


def _with_loras(
    request: GenerationRequest, settings: Settings, config: ModelConfig
) -> tuple[GenerationRequest, dict[str, str], tuple[Adjustment, ...]]:
    """The request with its LoRAs' hashes, their paths by these, and which have another name by now.

    Raises RequestError where one is not there.
    """
    if not request.loras:
        return request, {}, ()
    shelf = LoraShelf(settings.loras_folder, lambda: config)
    shelf.ready(request.loras)
    found, renamed = shelf.found(request.loras)
    uses = [LoraUse(lora.name, lora.strength, str(lora.hash)) for lora in found]
    return request.model_copy(update={"loras": found}), shelf.paths(uses), renamed


def _facts(pinned: PinnedJob, timings: Timings) -> dict[str, Any]:
    """What is told of a picture, with the names of the HTTP answer."""
    job = pinned.job
    told = {name: value for name, value in job.to_dict().items() if name not in NOT_TOLD}
    return {
        **told,
        "cfg": job.cfg,
        "requested": {"width": job.requested_width, "height": job.requested_height},
        "adjustments": [adjustment.model_dump() for adjustment in pinned.adjustments],
        "elapsed_s": round(timings.elapsed_s, 4),
        "timings": {name: round(seconds, 4) for name, seconds in asdict(timings).items()},
    }


def _tell_adjustments(adjustments: Sequence[dict[str, Any]]) -> None:
    for adjustment in (Adjustment.model_validate(one) for one in adjustments):
        change = (
            f"{adjustment.asked} → {adjustment.used}" if adjustment.asked != adjustment.used else str(adjustment.used)
        )
        print(f"{adjustment.field} {change}: {adjustment.why}", file=sys.stderr)


def _refuse_model_options(arguments: argparse.Namespace) -> None:
    said = [name for name in MODEL_OPTIONS if getattr(arguments, name) is not None]
    if said:
        raise RequestError(f"--{said[0]} is the server's own affair; it cannot be said with --url", field=said[0])


def _check_out(out: Path | None, *, force: bool) -> Kind:
    """What kind of file it will be; refused before the work, not after it."""
    if out is None:
        return "png"
    if out.is_dir():
        raise RequestError(f"--out {out} is a folder; name a file in it", field="out")
    if not out.parent.is_dir():
        raise RequestError(f"--out {out}: there is no folder {out.parent}", field="out")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise RequestError(f"--out {out} cannot be written", field="out")
    kind = kind_of(out.suffix)
    if out.is_file() and not force:
        raise RequestError(f"--out {out} exists; --force writes over it", field="out")
    return kind


def _write_numbered(out: Path, content: bytes) -> Path:
    """Under that name, or with -2, -3 … after it where that is taken. Returns the name."""
    for number in itertools.count(1):
        free = out if number == 1 else out.with_stem(f"{out.stem}-{number}")
        try:
            free.touch(exist_ok=False)  # ours from now on, whoever else draws this seed in this folder
        except FileExistsError:
            continue
        except OSError as error:
            raise StudioError(f"{free} cannot be written: {error.strerror or error}") from error
        try:
            _write(free, content)
        except BaseException:
            free.unlink(missing_ok=True)
            raise
        return free
    raise AssertionError("numbers do not end")


def _write(out: Path, content: bytes) -> None:
    """Whole or not at all; a device or a pipe is written into, never replaced."""
    if out.exists() and not out.is_file():
        try:
            out.write_bytes(content)
        except OSError as error:
            raise StudioError(f"{out} cannot be written: {error}") from error
    else:
        write_durably(out.absolute(), content)
