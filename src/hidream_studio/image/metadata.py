"""What a PNG says of its making: written whole, read back as a request. Knows nothing of files or pixels.

Two texts are written: `hidream_studio`, JSON with everything, and `parameters`, the line that A1111's web UI and the
tools around it read. Both are read, ours first; the A1111 text of strangers is taken as far as it can be used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hidream_studio.errors import RequestError
from hidream_studio.image import a1111
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.events import Timings
from hidream_studio.job.job import Job
from hidream_studio.job.request import GenerationRequest

SCHEMA = 1  # of the JSON; a reader takes this and older ones
STUDIO_KEY = "hidream_studio"
A1111_KEY = "parameters"

_FROM_JOB = (
    "prompt", "negative_prompt", "seed", "steps", "guidance_scale", "snap_resolution", "preset", "recipe", "sampler",
    "shift", "noise_scale", "noise",
)  # fmt: skip


@dataclass(frozen=True)
class RestoredSettings:
    """What a PNG's texts ask for, ready for `GenerationRequest`."""

    request: dict[str, Any]  # each value has passed GenerationRequest's own checks
    source: str  # "hidream_studio" or "a1111"
    notes: tuple[str, ...] = ()  # what was there and could not be used, one sentence each


@dataclass(frozen=True)
class PictureFacts:
    """What our own chunk says of a picture beyond its settings."""

    image_id: str | None
    job_id: str | None
    job: Job
    created_at: str | None  # ISO 8601, UTC
    model: str | None
    fingerprint: str | None
    numeric_path: str | None
    timings: Timings | None
    adjustments: tuple[Adjustment, ...]
    version: str | None  # of the HiDream Studio that drew it


def picture_chunks(
    job: Job,
    *,
    image_id: str,
    created_at: str,
    model: str,
    fingerprint: str,
    numeric_path: str,
    timings: Timings,
    version: str,
    job_id: str | None = None,
    adjustments: tuple[Adjustment, ...] = (),
) -> dict[str, str]:
    """The texts for `png.encode_png`: with equal job, fingerprint and numeric path the pixels can be drawn again."""
    facts = {
        "schema": SCHEMA,
        "version": version,
        "image_id": image_id,
        "job_id": job_id,
        "created_at": created_at,
        "job": job.to_dict(),
        "lineage": {"parent_id": job.parent_id, "finish_mode": job.finish_mode},
        "model": {"name": model, "fingerprint": fingerprint, "numeric_path": numeric_path},
        "timings": asdict(timings),
        "adjustments": [adjustment.model_dump() for adjustment in adjustments],
    }
    text = a1111.write(job, model=model, fingerprint=fingerprint, version=version)
    return {STUDIO_KEY: json.dumps(facts, allow_nan=False), A1111_KEY: text}


def settings_from_chunks(chunks: Mapping[str, str]) -> RestoredSettings:
    """The request that the texts of a PNG stand for.

    Raises
    ------
    RequestError
        when there is nothing that can be used; says what was looked for.
    """
    notes: list[str] = []
    if STUDIO_KEY in chunks:
        try:
            return _from_studio(chunks[STUDIO_KEY])
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
            notes.append("the hidream_studio text could not be read")
    if A1111_KEY in chunks:
        values, unused = a1111.read(chunks[A1111_KEY])
        request, refused = _accepted(values)
        if "prompt" in request:
            return RestoredSettings(request, "a1111", (*notes, *unused, *refused))
        notes.append("the parameters text holds no prompt that can be used")
    if not notes:
        notes.append("it has neither a hidream_studio nor a parameters text")
    raise RequestError(f"the PNG brings no settings back: {'; '.join(notes)}", field="file")


def picture_facts(chunks: Mapping[str, str]) -> PictureFacts | None:
    """What our own text says of the picture; None where there is none, or none that is whole."""
    try:
        facts = _studio_json(chunks[STUDIO_KEY])
        model = facts.get("model") or {}
        timings = facts.get("timings")
        return PictureFacts(
            image_id=_text_or_none(facts.get("image_id")),
            job_id=_text_or_none(facts.get("job_id")),
            job=_checked_job(facts["job"]),
            created_at=_text_or_none(facts.get("created_at")),
            model=_text_or_none(model.get("name")),
            fingerprint=_text_or_none(model.get("fingerprint")),
            numeric_path=_text_or_none(model.get("numeric_path")),
            timings=Timings(**{key: float(value) for key, value in timings.items()}) if timings else None,
            adjustments=tuple(Adjustment.model_validate(one) for one in facts.get("adjustments") or ()),
            version=_text_or_none(facts.get("version")),
        )
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):  # ValidationError is a ValueError
        return None


def _from_studio(text: str) -> RestoredSettings:
    job = _studio_json(text)["job"]
    values = {key: job[key] for key in _FROM_JOB if job.get(key) is not None}
    values |= {"width": job["requested_width"], "height": job["requested_height"]}
    notes = []
    if values.get("sampler") in ("flash", "flow_match"):  # comes with the dev recipe, and cannot be asked for
        del values["sampler"]
    if job.get("finish_mode") == "keep-composition":
        notes.append("it was finished from a draft, keeping its composition; these are its settings without the draft")
    request, refused = _accepted(values)
    if "prompt" not in request:
        raise ValueError("no prompt")
    return RestoredSettings(request, "hidream_studio", (*notes, *refused))


def _studio_json(text: str) -> dict[str, Any]:
    facts = json.loads(text)
    if not isinstance(facts, dict) or not isinstance(facts.get("schema"), int) or facts["schema"] > SCHEMA:
        raise ValueError("not a schema of ours")
    return facts


def _checked_job(values: dict[str, Any]) -> Job:
    """A job whose values a request of ours could have had: a stranger can write this text, too."""
    Job.from_dict(values)  # no unknown key, none missing
    sides = {"width": values["requested_width"], "height": values["requested_height"]}
    asked = {key: values[key] for key in _FROM_JOB if values[key] is not None and key != "sampler"}
    request, refused = _accepted(asked | sides)
    GenerationRequest.model_validate({"prompt": "any", "width": values["width"], "height": values["height"]})
    if refused or "prompt" not in request:
        raise ValueError("not a job of ours")
    return TypeAdapter(Job).validate_python(values)


def _accepted(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The values that a request may hold, and one sentence for each that it may not."""
    request: dict[str, Any] = {}
    notes: list[str] = []
    for field, value in values.items():
        try:
            GenerationRequest.model_validate({"prompt": "any", field: value})
            request[field] = value
        except ValidationError as error:
            notes.append(f"{field} {_short(value)} was left out: {error.errors()[0]['msg']}")
    if ("width" in request) != ("height" in request):
        request.pop("width", None)
        request.pop("height", None)
    return request, tuple(notes)


def _short(value: object, limit: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
