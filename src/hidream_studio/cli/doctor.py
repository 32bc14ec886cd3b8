"""`hidream-studio doctor`: what this machine can run, and what it lacks. Changes nothing and downloads nothing."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

import hidream_studio
from hidream_studio.cli.options import settings_from
from hidream_studio.errors import StudioError
from hidream_studio.job.profiles import ModelProfile, profile_for_checkpoint
from hidream_studio.job.workload import ModelShape
from hidream_studio.settings import Settings

if TYPE_CHECKING:
    from hidream_studio.engine.devices import Device
    from hidream_studio.engine.precision import Option
    from hidream_studio.model.checkpoint import Checkpoint

GIB = 2**30
BF16_8B_GIB = 19.0  # 16.4 GiB of weights, and 2 to 3 for a 2048x2048 step
LOW_DISK_GIB = 5.0
MODULES = ("torch", "transformers", "safetensors", "nicegui", "fastapi")

Verdict = Literal["ok", "note", "lacks"]


@dataclass(frozen=True)
class Finding:
    verdict: Verdict  # "lacks": something that was asked for cannot run
    subject: str
    text: str


def run(arguments: argparse.Namespace) -> int:
    settings = settings_from(arguments)
    findings = list(_findings(settings))
    fit = all(finding.verdict != "lacks" for finding in findings)
    if arguments.json:
        print(json.dumps({"fit": fit, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        marks = {"ok": "✓", "note": "–", "lacks": "✗"}
        for finding in findings:
            print(f"{marks[finding.verdict]} {finding.subject:<12} {finding.text}")
        print("This machine can draw pictures." if fit else "Something is missing; see the lines with ✗.")
    return 0 if fit else 1


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding("ok", "version", f"hidream-studio {hidream_studio.__version__}, Python {platform.python_version()}")
    yield from _modules()
    yield from _processor()
    yield from _gpus(settings)
    yield from _checkpoint(settings)
    yield from _data_folder(settings.data)


def _modules() -> Iterator[Finding]:
    for module in MODULES:
        try:
            yield Finding("ok", module, importlib.metadata.version(module))
        except importlib.metadata.PackageNotFoundError:
            yield Finding("lacks", module, f"is not installed: pip install {module}")


def _processor() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    text = f"{os.cpu_count()} cores, {memory.total / GIB:.0f} GiB of memory, {memory.available / GIB:.0f} GiB free"
    yield Finding("ok", "machine", f"{platform.system()} {platform.machine()}, {text}")


def _gpus(settings: Settings) -> Iterator[Finding]:
    print("looking for devices (starting torch) …", file=sys.stderr)
    try:
        from hidream_studio.engine.devices import gpus, why_no_gpu
    except (ImportError, OSError) as error:
        yield Finding("lacks", "device", f"torch cannot be started: {error}")
        return
    found = gpus()
    if not found:
        slow = "the small model runs on the CPU; HiDream-O1-Image (8B) would take hours a picture"
        text = f"no GPU ({why_no_gpu()}): {slow}"
        yield Finding("note" if settings.device in ("auto", "cpu") else "lacks", "device", text)
    for device in found:
        total_gib, capability = (device.total_bytes or 0) / GIB, device.capability
        enough = total_gib >= BF16_8B_GIB
        text = f"{device} {device.name}, {total_gib:.0f} GiB"
        if capability is not None:
            text += f", compute capability {capability[0]}.{capability[1]}"
        advice = "" if enough else f"; HiDream-O1-Image (8B) in bf16 needs about {BF16_8B_GIB:.0f} GiB"
        yield Finding("ok" if enough else "note", "device", text + advice)


def _checkpoint(settings: Settings) -> Iterator[Finding]:
    if not Path(settings.checkpoint).exists():
        yield Finding(
            "note", "model", f"{settings.checkpoint} is not here; it would be fetched from the hub when served"
        )
        return
    try:
        from hidream_studio.model.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(settings.checkpoint, settings.tokenizer)
        profile = profile_for_checkpoint(checkpoint.folder, settings.profile)
    except StudioError as error:
        yield Finding("lacks", "model", error.message)
        return
    yield Finding("ok", "model", f"{checkpoint.name} with profile {profile.id}, native {profile.native_side} px")
    yield from _precisions(settings, checkpoint, profile)


def _precisions(settings: Settings, checkpoint: Checkpoint, profile: ModelProfile) -> Iterator[Finding]:
    """The model in each precision on the device that would be taken: what stays, what travels, what presets take."""
    try:
        from hidream_studio.engine.devices import DTYPES, pick_device, pick_precision
        from hidream_studio.engine.precision import CHOICES, choose, option
    except (ImportError, OSError):
        return  # said already
    try:
        device = pick_device(settings.device)
        fixed = settings.precision or profile.precision
        wanted = CHOICES if device.memory() is not None else (pick_precision(fixed, device),)
        names = [*dict.fromkeys([*wanted, *((fixed,) if fixed else ())])]
        options = [
            option(one, checkpoint, device, profile.native_side, settings.vram, fused=settings.fused is not False)
            for one in names if one in DTYPES
        ]  # fmt: skip
        if fixed is not None or device.memory() is None:
            taken, why = fixed or names[0], "it is asked for" if settings.precision else "it is the model's own"
            why = why if fixed else "it suits this device"
        else:
            chosen, why = choose(options, checkpoint, device)
            taken = chosen.precision
    except StudioError as error:
        yield Finding("lacks", "precision", error.message)
        return
    for one in options:
        line = _precision_line(one, device, profile, checkpoint)
        chosen_line = f"{line}  ← taken, for {why}" if one.precision == taken else line
        lacks = one.budget is None and one.precision == taken
        yield Finding("lacks" if lacks else "note" if one.budget is None else "ok", one.precision, chosen_line)


def _precision_line(one: Option, device: Device, profile: ModelProfile, checkpoint: Checkpoint) -> str:
    from hidream_studio.engine.rates import measure, preset_seconds

    if one.budget is None:
        return one.error.message if one.error is not None else "cannot be had here"
    residency, config = one.budget.residency, checkpoint.config
    travels = "all of it stays"
    if residency.travelling:
        where = "its files" if one.budget.from_files else "pinned memory"
        gib = one.pass_bytes / GIB
        travels = f"{residency.staying} of {residency.layers} blocks stay, {gib:.1f} GiB a step come from {where}"
    c = config
    shape = ModelShape(c.layers, c.hidden_size, c.mlp_size, c.heads, c.kv_heads, c.head_dim)
    seconds = preset_seconds(one, measure(one.precision, device), profile, shape)
    told = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    if one.precision == "fp8" and not device.has_fp8_products:
        travels += ", products in bf16"
    untested = "" if device.type == "cpu" or device.capability else "; this kind of device is untested"
    return f"{travels}; about {told}{untested}"


def _data_folder(data: Path) -> Iterator[Finding]:
    nearest = next(folder for folder in (data, *data.absolute().parents) if folder.is_dir())
    free_gib = shutil.disk_usage(nearest).free / GIB
    text = f"{data}, {free_gib:.0f} GiB free"
    if not os.access(nearest, os.W_OK):
        yield Finding("lacks", "data folder", f"{data} cannot be written; choose another with --data")
    elif free_gib < LOW_DISK_GIB:
        yield Finding("note", "data folder", f"{text}: a 2048x2048 picture takes about 8 MB")
    else:
        yield Finding("ok", "data folder", text)
