"""The `parameters` text of A1111's web UI: written for other tools, read from theirs. Checks no limits.

The text (AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py): the prompt, which may have several lines;
a line that begins with "Negative prompt:" and may go on; and "Key: value" pairs, from a line that begins with "Steps:".
Other tools end it with more: templates of wildcards, JSON, values that hold line breaks.

Our own text says every field of the job, by its name, where A1111 has none for it. Tools pass over keys that they do
not know, and the text alone draws the same picture again.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hidream_studio.image.found import Found
from hidream_studio.job.job import Job

NEGATIVE = "Negative prompt:"

_OURS = "hidream-studio"  # what our Version begins with
_EXACT_PROMPT, _EXACT_NEGATIVE = "Prompt exactly", "Negative prompt exactly"
_SAMPLER_NAMES = {"unipc": "UniPC", "euler": "Euler", "flash": "Flash", "flow_match": "Flow match"}
_SAMPLER_IDS = {name: sampler for sampler, name in _SAMPLER_NAMES.items()}
_WITH_NAMES_OF_A1111 = frozenset(
    {"prompt", "negative_prompt", "steps", "sampler", "guidance_scale", "seed", "width", "height"}
)
_NUMBERS: dict[str, tuple[str, type[int] | type[float]]] = {
    "Steps": ("steps", int), "CFG scale": ("guidance_scale", float), "Seed": ("seed", int), "Shift": ("shift", float),
    "Noise scale": ("noise_scale", float),
}  # fmt: skip
_SAYS_NOTHING_OF_PIXELS = frozenset({"Model", "Model hash", "Version", "App", "Created Date", "Hashes", "User"})
_KNOWN = frozenset({*_NUMBERS, "Size", "Sampler", "Model", "Model hash", "Version", "Clip skip"})

_LORA_TAG = re.compile(r" ?<lora:(?P<name>[^:<>\s][^:<>\n]*)(?::(?P<strength>-?\d{1,3}(?:\.\d{1,9})?)[^<>\n]*)?>")
_KEY = re.compile(r"(?P<key>\w[\w \-/]{0,59}):")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_BETWEEN = re.compile(r"[\s,]*")
_END_OF_VALUE = re.compile(r"[,\n]")
_STEPS_LINE = re.compile(rf"(?:{NEGATIVE}\s*)?Steps:\s*\d+\s*(?:,|$)")
_TEMPLATE_LINE = re.compile(r"(?:Negative )?Template:")  # sd-dynamic-prompts: what the prompt was made from
_OUR_LINE = re.compile(rf"Steps: \d+, .*, Version: {_OURS} [^,\"]*$")
_MAX_PAIRS, _MAX_PIECES = 200, 2000
_MAX_PAIRS_CHARS = 300_000  # our longest prompts in escapes; keeps the search for pairs in a hostile text short
_MAX_FAILURES = 10  # quotes and brackets that do not end; then commas alone part the values
_MAX_LINES_LOOKED_AT = 20  # from the end, for settings that do not begin with their steps


def write(job: Job, *, model: str, fingerprint: str, version: str) -> str:
    """The text for `job`."""
    pairs = {
        "Steps": str(job.steps),
        "Sampler": _SAMPLER_NAMES[job.sampler],
        "CFG scale": str(job.guidance_scale),
        "Seed": str(job.seed),
        "Size": f"{job.width}x{job.height}",
        "Model hash": fingerprint[:10],
        "Model": _quoted(model),
    }
    pairs |= {_key(name): _plain(value) for name, value in job.to_dict().items()
              if name not in _WITH_NAMES_OF_A1111 and value is not None}  # fmt: skip
    tags = _tags(job)
    lines = [job.prompt + tags]
    if job.negative_prompt is not None:
        lines.append(f"{NEGATIVE} {job.negative_prompt}")
    ending = {"Version": f"{_OURS} {version}"}
    text = "\n".join([*lines, _line(pairs | ending)])
    prompt, negative, _ = _split(text)
    if (prompt.removesuffix(tags), negative or None) == (job.prompt, job.negative_prompt):
        return text
    # line breaks, white space or words that mean something to this text: said once more, as JSON has it
    pairs[_EXACT_PROMPT] = json.dumps(job.prompt, ensure_ascii=False)
    pairs[_EXACT_NEGATIVE] = json.dumps(job.negative_prompt or "", ensure_ascii=False)
    return "\n".join([*lines, _line(pairs | ending)])


def read_own(text: str) -> dict[str, Any] | None:
    """The job of a text that `write` wrote, as `Job.to_dict` has it, unchecked; None where it does not say all."""
    prompt, negative, pairs = _split(text)
    size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", pairs.get("Size", ""))
    sampler = _SAMPLER_IDS.get(pairs.get("Sampler", ""))
    if not _is_ours(pairs) or size is None or sampler is None:
        return None
    values: dict[str, Any] = {
        "prompt": pairs.get(_EXACT_PROMPT, prompt),
        "negative_prompt": pairs.get(_EXACT_NEGATIVE, negative) or None,
        "width": int(size[1]),
        "height": int(size[2]),
        "sampler": sampler,
    }
    keys = {"steps": "Steps", "guidance_scale": "CFG scale", "seed": "Seed"}
    try:
        for name, kind in get_type_hints(Job).items():
            if name not in values and (said := pairs.get(keys.get(name, _key(name)))) is not None:
                values[name] = _typed(kind, said)
        job = Job(**values)
        if _EXACT_PROMPT not in pairs:
            job = replace(job, prompt=prompt.removesuffix(_tags(job)))
        return job.to_dict()
    except (ValidationError, TypeError):  # edited by somebody, or of a version that said less
        return None


def has_settings(text: str) -> bool:
    """Whether a line begins with its steps, so that the text is none of JSON, however its prompt begins."""
    return any(_STEPS_LINE.match(line.lstrip()) for line in text.split("\n"))


def read(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Values by the names of a request, unchecked, and one sentence for what could not be used."""
    found = Found()
    prompt, negative, pairs = _split(text)
    prompt, loras = _without_tags(prompt)
    found.text("prompt", prompt)
    if loras:
        found.values["loras"] = loras
    found.text("negative_prompt", negative)
    if _is_ours(pairs) and "Noise" not in pairs:
        found.notes.append("the text does not say whether the noise was linked or upstream's")
    for key, value in pairs.items():
        if key in _NUMBERS:
            field, kind = _NUMBERS[key]
            found.number(field, kind, key, value)
        elif key == "Size":
            width, _, height = value.partition("x")
            found.size(key, width, height)
        elif key == "Sampler":
            found.sampler(value)
        elif key not in _SAYS_NOTHING_OF_PIXELS:
            found.unused([key])
    return found.values, found.sentences()


def _tags(job: Job) -> str:
    """A job's LoRAs as A1111's web UI has them, inside of the prompt."""
    return "".join(f" <lora:{use.name}:{use.strength:g}>" for use in job.loras)


def _without_tags(prompt: str) -> tuple[str, list[dict[str, Any]]]:
    """A prompt, and the LoRAs that its tags name; of one that is named twice the first strength counts."""
    loras: dict[str, float] = {}
    for tag in _LORA_TAG.finditer(prompt):
        loras.setdefault(tag["name"], float(tag["strength"] or 1))
    rest = _LORA_TAG.sub("", prompt).strip() if loras else prompt
    return rest, [{"name": name, "strength": strength} for name, strength in loras.items()]


def _split(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt and settings; the latter two empty where there are none."""
    lines = text.replace("\r\n", "\n").strip().split("\n")
    start = _settings_line(lines)
    before, after = (lines, []) if start is None else (lines[:start], lines[start:])
    if after and after[0].lstrip().startswith(NEGATIVE):  # an empty one, with the settings in its line
        after[0] = after[0].lstrip().removeprefix(NEGATIVE)
    end = next((i for i, line in enumerate(after) if i and _TEMPLATE_LINE.match(line.lstrip())), len(after))
    late = next((i for i, line in enumerate(after[:end]) if line.lstrip().startswith(NEGATIVE)), end)
    pairs = _pairs("\n".join(after[:late]))
    if end < len(after):
        pairs.setdefault("Template", "")
    prompt, negative = _prompts(before)
    return prompt, negative or _prompts(after[late:end])[1], pairs


def _settings_line(lines: list[str]) -> int | None:
    """The line in which the settings begin, if there is one."""
    if _OUR_LINE.match(lines[-1]):
        return len(lines) - 1  # whatever the prompt says
    found = None
    for number, line in enumerate(lines):
        if found is not None and _TEMPLATE_LINE.match(line.lstrip()):
            break  # what follows is words again
        if _STEPS_LINE.match(line.lstrip()):
            found = number
    if found is not None:
        return found
    for number in range(len(lines) - 1, max(len(lines) - 1 - _MAX_LINES_LOOKED_AT, -1), -1):
        if lines[number].lstrip().startswith(NEGATIVE):
            return None
        pairs = _pairs(lines[number])
        if len(pairs) >= 3 and len(_KNOWN & pairs.keys()) >= 2:
            return number
    return None


def _prompts(lines: list[str]) -> tuple[str, str]:
    start = next((number for number, line in enumerate(lines) if line.strip().startswith(NEGATIVE)), len(lines))
    prompt = "\n".join(lines[:start]).strip()
    negative = "\n".join(lines[start:]).strip().removeprefix(NEGATIVE).strip()
    return prompt, negative


def _pairs(text: str) -> dict[str, str]:
    """Every "Key: value" of the settings; of equal keys the first. What is neither key nor value is passed over."""
    text = text[:_MAX_PAIRS_CHARS]
    found: dict[str, str] = {}
    at = failures = 0
    for _ in range(_MAX_PIECES):
        at = _after_separators(text, at)
        if at == len(text) or len(found) == _MAX_PAIRS:
            break
        key = _KEY.match(text, at)
        start = at if key is None else key.end()
        while text[start : start + 1] == " ":
            start += 1
        value, at = None, start
        if text[start : start + 1] in ('"', "{", "[") and failures < _MAX_FAILURES:
            value, at = _quoted_value(text, start)
            failures += value is None
        if value is None:
            at = _next_separator(text, start)
            value = text[start:at].strip()
        if key is not None:
            found.setdefault(key["key"].strip(), value)
    return found


def _quoted_value(text: str, start: int) -> tuple[str | None, int]:
    """A value in quotes or as JSON, which may hold commas, colons and line breaks, and where it ends."""
    if text[start] == '"':
        match = _QUOTED.match(text, start)
        return (_unquoted(match[0]), match.end()) if match else (None, start)
    try:
        end = json.JSONDecoder().raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None, start
    return text[start:end], end


def _after_separators(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at


def _next_separator(text: str, at: int) -> int:
    match = _END_OF_VALUE.search(text, at)
    return match.start() if match else len(text)


def _is_ours(pairs: dict[str, str]) -> bool:
    return pairs.get("Version", "").startswith(f"{_OURS} ")


def _key(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _plain(value: object) -> str:
    return _quoted(value if isinstance(value, str) else json.dumps(value))


def _typed(kind: Any, text: str) -> Any:
    """A value of a job's field from `_plain`'s text of it."""
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_python(text, strict=True)
    except ValidationError:
        return adapter.validate_json(text, strict=True)


def _line(pairs: dict[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in pairs.items())


def _quoted(text: str) -> str:
    """Values with a comma, colon or line break stand in JSON quotes, as A1111 writes them."""
    plain = re.fullmatch(r"[^,:\n\"\[{\s](?:[^,:\n]*[^,:\s])?", text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return text[1:-1]
