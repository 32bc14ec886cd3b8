"""Settings that travel: out as a curl line, back from a dropped picture. Knows nothing of the page's elements."""

from __future__ import annotations

import base64
import binascii
import json
import shlex

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import KNOWN_TEXTS, read_file, settings_from_chunks
from hidream_studio.job.job import Job, request_of
from hidream_studio.job.profiles import ModelProfile
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.validation import parse_request
from hidream_studio.page.state.compose import ComposeState, with_request
from hidream_studio.page.state.pictures import pictures_asked


def restored_from_file(
    data: str, state: ComposeState, profile: ModelProfile, *, left_out: tuple[str, ...] = ()
) -> tuple[ComposeState, tuple[str, ...]]:
    """The column with the settings of a PNG, JPEG or WebP, and what the file cannot say, or what cannot be used of it.

    `data` is base64, pixels may be missing; `left_out` names texts that were too large to be sent.

    Raises
    ------
    RequestError
        when it is none of these, is damaged, or carries no settings.
    """
    file = read_file(_decoded(data))
    unread = tuple(f"the text {name!r} was passed over: it is too large" for name in left_out if name in KNOWN_TEXTS)
    settings = settings_from_chunks(file.texts, file.unread + unread)
    request = parse_request(GenerationRequest, settings.request)
    pictures = pictures_asked(request, settings.thumbnails)
    return with_request(request, state, profile, pictures), settings.notes


def says_nothing(data: str, left_out: tuple[str, ...]) -> bool:
    """Whether a file, as for `restored_from_file`, has no settings: neither such as can be read nor others."""
    try:
        file = read_file(_decoded(data))
    except RequestError:
        return True  # whoever takes it as a picture says what is wrong with it
    return KNOWN_TEXTS.isdisjoint((*file.texts, *left_out)) and not file.unread


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("the file did not arrive whole; drop it again", field="file") from None


def curl_line(job: Job, base_url: str, *, with_token: bool) -> str:
    """A shell line that draws `job` again and writes it to a file."""
    body = request_of(job, preset=None).model_dump(mode="json")
    text = json.dumps({name: value for name, value in body.items() if value is not None}, ensure_ascii=False)
    token = ' -H "Authorization: Bearer $HIDREAM_STUDIO_TOKEN"' if with_token else ""
    reader = "import sys, json, base64; sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)['image']))"
    return (
        f"curl -sS {shlex.quote(base_url.rstrip('/') + '/generate/t2i')} -H 'Content-Type: application/json'{token} "
        f"-d {shlex.quote(text)} | python3 -c {shlex.quote(reader)} > seed-{job.seed}.png"
    )
