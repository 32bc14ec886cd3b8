"""The `parameters` text of A1111's web UI: written for other tools, read from theirs. Checks no limits.

The text (AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py): the prompt, which may have several lines;
a line that begins with "Negative prompt:" and may go on; and one last line of "Key: value" pairs, from "Steps:".
"""

from __future__ import annotations

import json
import re
from typing import Any

from hidream_studio.job.job import Job
from hidream_studio.job.sizes import read_size

NEGATIVE = "Negative prompt:"

_PAIR = re.compile(r'\s*(?P<key>\w[\w \-/]{0,59}):\s*(?P<value>"(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_SAMPLER_NAMES = {"unipc": "UniPC", "euler": "Euler", "flash": "Flash"}
_SAMPLERS = {"unipc": "unipc", "euler": "euler"}
_NUMBERS: dict[str, tuple[str, type[int] | type[float]]] = {
    "Steps": ("steps", int), "CFG scale": ("guidance_scale", float), "Seed": ("seed", int), "Shift": ("shift", float),
    "Noise scale": ("noise_scale", float),
}  # fmt: skip
_SAYS_NOTHING_OF_PIXELS = frozenset({"Model", "Model hash", "Version"})
_MAX_PAIRS = 200
_MAX_PAIRS_CHARS = 10_000  # keeps the search for pairs in a hostile line short
_MAX_NAMED_KEYS = 8


def write(job: Job, *, model: str, fingerprint: str, version: str) -> str:
    """The text for `job`."""
    pairs: dict[str, object] = {
        "Steps": job.steps,
        "Sampler": _SAMPLER_NAMES[job.sampler],
        "CFG scale": job.guidance_scale,
        "Seed": job.seed,
        "Size": f"{job.width}x{job.height}",
        "Model hash": fingerprint[:10],
        "Model": model,
        "Shift": job.shift,
        "Noise scale": job.noise_scale,
        "Version": f"hidream-studio {version}",
    }
    lines = [job.prompt]
    if job.negative_prompt is not None:
        lines.append(f"{NEGATIVE} {job.negative_prompt}")
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in pairs.items()))
    return "\n".join(lines)


def read(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Values by the names of a request, unchecked, and one sentence for what could not be used."""
    lines = text.replace("\r\n", "\n").strip().split("\n")
    pairs: dict[str, str] = {}
    if (found := _pairs(lines[-1])) is not None:
        pairs = found
        lines.pop()
    values, notes = _values(pairs)
    prompt, negative = _prompts(lines)
    if prompt:
        values["prompt"] = prompt
    if negative:
        values["negative_prompt"] = negative
    return values, tuple(notes)


def _pairs(line: str) -> dict[str, str] | None:
    """The settings of the last line, or None where it belongs to the prompt."""
    if len(line) > _MAX_PAIRS_CHARS:
        return None
    found: dict[str, str] = {}
    for match in _PAIR.finditer(line):
        found.setdefault(match["key"].strip(), _unquoted(match["value"].strip()))
        if len(found) > _MAX_PAIRS:
            break
    steps_first = re.match(r"\s*Steps:\s*\d", line) is not None
    return found if steps_first or len(found) >= 3 else None


def _prompts(lines: list[str]) -> tuple[str, str]:
    start = next((number for number, line in enumerate(lines) if line.strip().startswith(NEGATIVE)), len(lines))
    prompt = "\n".join(lines[:start]).strip()
    negative = "\n".join(lines[start:]).strip().removeprefix(NEGATIVE).strip()
    return prompt, negative


def _values(pairs: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    notes: list[str] = []
    unknown: list[str] = []
    for key, value in pairs.items():
        if key in _NUMBERS:
            field, kind = _NUMBERS[key]
            try:
                values[field] = kind(value)
            except ValueError:
                notes.append(f"{key} {value[:40]!r} is no number")
        elif key == "Size":
            if size := read_size(value):
                values |= {"width": size[0], "height": size[1], "snap_resolution": False}
            else:
                notes.append(f"Size {value[:40]!r} is no size")
        elif key == "Sampler":
            name = re.sub(r"[^a-z]", "", value.lower())
            if name in _SAMPLERS:
                values["sampler"] = _SAMPLERS[name]
            elif name == "flash":
                values["recipe"] = "dev"
            else:
                notes.append(f"sampler {value[:40]!r} is not one of ours, so the profile's own is used")
        elif key not in _SAYS_NOTHING_OF_PIXELS:
            unknown.append(key[:40])
    if unknown:
        more = f" and {len(unknown) - _MAX_NAMED_KEYS} more" if len(unknown) > _MAX_NAMED_KEYS else ""
        notes.append(f"not used: {', '.join(unknown[:_MAX_NAMED_KEYS])}{more}")
    return values, notes


def _quoted(text: str) -> str:
    """Values with a comma, colon or line break stand in JSON quotes, as A1111 writes them."""
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text
