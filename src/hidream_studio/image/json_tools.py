"""Settings that other programs write as JSON: SwarmUI, Fooocus, InvokeAI. Knows nothing of files; checks no limits.

SwarmUI (mcmonkeyprojects/SwarmUI, docs/Image Metadata Format.md) and Fooocus (lllyasviel/Fooocus,
modules/meta_parser.py) write it as `parameters`, InvokeAI (invoke-ai/InvokeAI) under names of its own.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from hidream_studio.image import comfyui
from hidream_studio.image.found import Found

_NUMBERS: dict[str, tuple[str, type[int] | type[float]]] = {
    "seed": ("seed", int), "steps": ("steps", int), "cfgscale": ("guidance_scale", float),
    "guidancescale": ("guidance_scale", float),
}  # fmt: skip
_PROMPTS = {"prompt": "prompt", "positiveprompt": "prompt", "negativeprompt": "negative_prompt"}
_MAX_DREAM_CHARS = 50_000
_SAYS_NOTHING_OF_PIXELS = frozenset({
    "width", "height", "model", "version", "swarmversion", "appversion", "metadatascheme", "fullprompt",
    "fullnegativeprompt", "basemodel", "basemodelhash", "createdby", "performance", "modelweights", "modelhash", "app",
    "generationmode",
})  # fmt: skip


def is_json(text: str) -> bool:
    """Whether the text means to be a JSON object: a prompt of wildcards, "{red|blue} heart", is none."""
    return re.match(r'\s*\{\s*(?:"|\}\s*$)', text) is not None


def read_parameters(text: str) -> tuple[str, Found]:
    """What a JSON object in place of A1111's text says, and which program's it is.

    Raises
    ------
    ValueError
        of one sentence, when it cannot be read or is of no program that is known here.
    """
    values = _object(text)
    if isinstance(swarm := values.get("sui_image_params"), dict):
        return "swarmui", _flat(swarm, sampler_keys=("sampler", "comfyuisampler"))
    names = {_name(key) for key in values}
    if names >= {"prompt", "steps"} and names & {"resolution", "metadatascheme", "fullprompt", "basemodel"}:
        return "fooocus", _flat(values, sampler_keys=("sampler",))
    if comfyui.is_graph(values):
        return "comfyui", comfyui.read(values)
    raise ValueError(f"it is JSON of a program that is not known here ({', '.join(map(repr, list(values)[:5]))[:100]})")


def read_invokeai(text: str) -> Found:
    """`invokeai_metadata`, of InvokeAI from 3 on."""
    return _flat(_object(text), sampler_keys=("scheduler",))


def read_sd_metadata(text: str) -> Found:
    """`sd-metadata`, of InvokeAI 2."""
    image = _object(text).get("image")
    if not isinstance(image, dict):
        raise ValueError("it holds no image")
    prompt = image.get("prompt")
    if isinstance(prompt, list):  # [{"prompt": "a cat", "weight": 1.0}]
        parts = [part.get("prompt") for part in prompt if isinstance(part, dict)]
        prompt = " ".join(part for part in parts if isinstance(part, str))
    found = _flat({**image, "prompt": prompt}, sampler_keys=("sampler",))
    _part_negative(found)
    return found


def read_dream(text: str) -> Found:
    """`Dream`, of InvokeAI 2 and before: the prompt in quotes, then options as on a command line."""
    try:
        words = shlex.split(text[:_MAX_DREAM_CHARS])
    except ValueError:
        raise ValueError("its quotes do not end") from None
    options = {"-s": "steps", "-S": "seed", "-W": "width", "-H": "height", "-C": "cfg_scale", "-A": "sampler"}
    values: dict[str, Any] = {}
    prompt: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        if word in options and index + 1 < len(words):
            values[options[word]] = words[index + 1]
            index += 1
        elif option := next((option for option in options if re.fullmatch(rf"{option}[\w.]+", word)), None):
            values[options[option]] = word.removeprefix(option)
        elif not values and not word.startswith("-"):
            prompt.append(word)
        index += 1
    found = _flat({**values, "prompt": " ".join(prompt)}, sampler_keys=("sampler",))
    _part_negative(found)
    return found


def _object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is damaged JSON") from None
    if not isinstance(values, dict):
        raise ValueError("it is JSON, but holds no settings")
    return values


def _flat(values: Mapping[str, Any], *, sampler_keys: tuple[str, ...]) -> Found:
    """Settings by their names, however these are written: `cfg_scale`, `cfgscale`, `CFG Scale`."""
    found = Found()
    by_name = {_name(key): (key, value) for key, value in values.items()}
    for name, (key, value) in by_name.items():
        if name in _PROMPTS:
            found.text(_PROMPTS[name], value)
        elif name in _NUMBERS:
            field, kind = _NUMBERS[name]
            found.number(field, kind, key, value)
        elif name == "resolution":  # Fooocus: "(1024, 768)"
            sides = re.findall(r"\d+", str(value)[:40])
            found.size(key, *(sides if len(sides) == 2 else (value, "")))
        elif name in sampler_keys:
            found.sampler(value)
        elif name not in _SAYS_NOTHING_OF_PIXELS:
            found.unused([key])
    if "width" in by_name and "height" in by_name:
        found.size("size", by_name["width"][1], by_name["height"][1])
    return found


def _part_negative(found: Found) -> None:
    """InvokeAI 2 wrote what to keep away from in brackets: "a cat [blurry]"."""
    if parts := re.fullmatch(r"(.*\S)\s*\[([^\[\]]*)\]\s*", found.values.get("prompt", ""), re.DOTALL):
        found.text("prompt", parts[1])
        found.text("negative_prompt", parts[2])


def _name(key: str) -> str:
    return re.sub(r"[\s_-]", "", key).lower()


READERS: dict[str, Callable[[str], Found]] = {
    "invokeai_metadata": read_invokeai, "sd-metadata": read_sd_metadata, "Dream": read_dream, "dream": read_dream,
}  # fmt: skip
