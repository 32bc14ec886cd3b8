"""What a picture says of its making: written whole, read back as a request. Knows nothing of pixels.

Two texts are written: `hidream_studio`, JSON with everything, and `parameters`, the line that A1111's web UI and the
tools around it read. Both are read, ours first; the texts of other programs are taken as far as they can be used.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import ValidationError

from hidream_studio.errors import RequestError
from hidream_studio.image import a1111, exif, json_tools
from hidream_studio.image.found import Found, shown
from hidream_studio.image.png import KnownTexts, is_png, read_known_texts
from hidream_studio.image.thumbnail import MAX_TINY_BYTES
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job, asked_again
from hidream_studio.job.record import Timings
from hidream_studio.job.request import UPLOAD_ID, GenerationRequest
from hidream_studio.job.stored import read_job

SCHEMA = 1  # of the JSON; a reader takes this and older ones
STUDIO_KEY = "hidream_studio"
A1111_KEY = "parameters"
THUMBNAILS = "thumbnails"  # in the JSON: of references, base64 by hash

_PLACES = {  # where settings stand, the most telling first, and what a sentence calls it
    STUDIO_KEY: f"{STUDIO_KEY} text",
    "invokeai_metadata": "invokeai_metadata text",
    A1111_KEY: f"{A1111_KEY} text",
    **{key: f"{key} text" for key in json_tools.READERS},
    exif.USER_COMMENT: "EXIF comment",
    exif.COMFY_PROMPT: "graph of ComfyUI",
}
_PROMPT_FIELDS = ("prompt", "negative_prompt")
KNOWN_TEXTS = frozenset({*_PLACES, "EXIF"})  # what can hold settings

Reading = tuple[str, dict[str, Any], tuple[str, ...]]  # source, values by the names of a request, unchecked, and notes


@dataclass(frozen=True)
class RestoredSettings:
    """What a picture's texts ask for, ready for `GenerationRequest`."""

    request: dict[str, Any]  # each value has passed GenerationRequest's own checks
    source: str  # the program: "hidream_studio", "a1111", "swarmui", "fooocus", "invokeai" or "comfyui"
    notes: tuple[str, ...] = ()  # what was there and could not be used, one sentence each
    thumbnails: Mapping[str, str] = field(default_factory=dict)  # of references by their upload's id, base64 WebP
    missing: tuple[str, ...] = ()  # of references, the ids of those that this library does not have


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
    thumbnails: Mapping[str, bytes] | None = None,  # of the job's references by their hash, WebP
) -> dict[str, str]:
    """The texts for `png.encode_png`: with equal job, fingerprint and numeric path the pixels can be drawn again.

    Pictures as input are not in them: they are named by their hash, with a small picture of each.
    """
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
    if thumbnails:
        facts[THUMBNAILS] = {key: base64.b64encode(webp).decode("ascii") for key, webp in thumbnails.items()}
    text = a1111.write(job, model=model, fingerprint=fingerprint, version=version)
    return {STUDIO_KEY: json.dumps(facts, allow_nan=False), A1111_KEY: text}


def read_file(data: bytes) -> KnownTexts:
    """What a PNG, JPEG or WebP says of its making, by the names that its writer gave it; no pixel is decoded.

    Raises
    ------
    RequestError
        when it is none of these, or is damaged.
    """
    if exif.is_jpeg(data) or exif.is_webp(data):
        raw = exif.exif_of(data)
        return KnownTexts(exif.exif_texts(raw) if raw else {}, (), raw)
    if not is_png(data):
        raise RequestError("the file is no PNG, JPEG or WebP", field="file")
    texts = read_known_texts(data, _PLACES)
    if texts.exif is None:
        return texts
    return KnownTexts(exif.exif_texts(texts.exif) | texts.texts, texts.unread, texts.exif)


def settings_from_chunks(chunks: Mapping[str, str], unread: tuple[str, ...] = ()) -> RestoredSettings:
    """The request that the texts of a picture stand for; `unread` is what could not be read of the file itself.

    Raises
    ------
    RequestError
        when there is nothing that can be used; says what was looked for, and what is wrong with what was found.
    """
    wrong = list(unread)
    for key, name in _PLACES.items():
        if key not in chunks:
            continue
        try:
            source, values, notes = _read(key, chunks[key])
            request, refused = _accepted(values)
            if "prompt" in request:
                return RestoredSettings(request, source, (*wrong, *notes, *refused), _thumbnails(chunks))
            why = next((f": {one}" for one in refused if one.startswith("prompt ")), "")
            wrong.append(f"the {name} holds no prompt that can be used{why}")
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
            said = f": {error}" if type(error) is ValueError else ""
            wrong.append(f"the {name} could not be read{said}")
    if not wrong:
        wrong.append("it has neither a hidream_studio nor a parameters text, nor one of another program that is known")
    raise RequestError(f"the picture brings no settings back: {'; '.join(wrong)}", field="file")


def picture_facts(chunks: Mapping[str, str]) -> PictureFacts | None:
    """What our own text says of the picture; None where there is none, or none that is whole and understood here."""
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
            adjustments=(
                *(Adjustment.model_validate(one) for one in facts.get("adjustments") or ()),
                *read_job(facts["job"]).notes,
            ),
            version=_text_or_none(facts.get("version")),
        )
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):  # ValidationError is a ValueError
        return None


def _thumbnails(chunks: Mapping[str, str]) -> dict[str, str]:
    """Of references, as far as our own text has them; a stranger can write it, too."""
    try:
        found = _studio_json(chunks[STUDIO_KEY]).get(THUMBNAILS) or {}
        return {
            key: webp
            for key, webp in found.items()
            if re.fullmatch(UPLOAD_ID, key)
            and len(webp) <= 2 * MAX_TINY_BYTES
            and base64.b64decode(webp, validate=True)
        }
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return {}


def _read(key: str, text: str) -> Reading:
    """
    Raises
    ------
    ValueError, TypeError, KeyError, RecursionError, AttributeError
        when it cannot be read.
    """
    if key == STUDIO_KEY:
        return _of_job(_studio_json(text)["job"], STUDIO_KEY)
    if key in json_tools.READERS:
        return _of(("invokeai", json_tools.READERS[key](text)))
    if json_tools.is_json(text) and not a1111.has_settings(text):
        return _of(json_tools.read_parameters(text))
    if key == exif.COMFY_PROMPT:
        raise ValueError("it is no graph of ComfyUI")
    if (job := a1111.read_own(text)) is not None:
        return _of_job(job, "a1111")
    values, notes = a1111.read(text)
    if key == exif.USER_COMMENT and values.keys() <= set(_PROMPT_FIELDS):
        raise ValueError("it is a comment without settings")
    return "a1111", values, notes


def _of(reading: tuple[str, Found]) -> Reading:
    source, found = reading
    return source, found.values, found.sentences()


def _of_job(job: Mapping[str, Any], source: str) -> Reading:
    found = Found()
    found.values = asked_again(job)
    if job.get("finish_mode") == "keep-composition":
        found.notes.append(
            "it was finished from a draft, keeping its composition; these are its settings without the draft"
        )
    found.unused(str(key) for key in job.keys() - {field.name for field in fields(Job)})  # of a newer version
    return source, found.values, found.sentences()


def _studio_json(text: str) -> dict[str, Any]:
    facts = json.loads(text)
    schema = facts.get("schema") if isinstance(facts, dict) else None
    if type(schema) is not int:
        raise ValueError("it is not of HiDream Studio")
    if schema > SCHEMA:
        raise ValueError(f"a newer HiDream Studio wrote it (schema {schema}; this one reads up to {SCHEMA})")
    return dict(facts)


def _checked_job(values: dict[str, Any]) -> Job:
    """A job whose values a request of ours could have had: a stranger can write this text, too."""
    job = Job.from_dict(values)
    request, refused = _accepted(asked_again(values))
    for prefix in ("", "requested_"):
        sides = {side: values[prefix + side] for side in ("width", "height")}
        GenerationRequest.model_validate({"prompt": "any", **sides})
    if refused or "prompt" not in request:
        raise ValueError("not a job of ours")
    return job


def _accepted(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The values that a request may hold, and one sentence for each that it may not."""
    request: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in values.items():
        try:
            GenerationRequest.model_validate({"prompt": "any", name: value})
            request[name] = value
        except ValidationError as error:
            length = f" ({len(value):,} characters)" if name in _PROMPT_FIELDS and isinstance(value, str) else ""
            notes.append(f"{name} {shown(value)}{length} was left out: {error.errors()[0]['msg']}")
    if ("width" in request) != ("height" in request):
        request.pop("width", None)
        request.pop("height", None)
    return request, tuple(notes)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
