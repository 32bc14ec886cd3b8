"""Settings from a ComfyUI graph, where one sampler takes one prompt. Refuses what is less simple; checks no limits.

The graph (comfyanonymous/ComfyUI, the API format): `{id: {"class_type": …, "inputs": {name: value or [id, output]}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hidream_studio.image.found import Found

_SAMPLERS = {"KSampler": "seed", "KSamplerAdvanced": "noise_seed", "SamplerCustom": "noise_seed"}
_TEXT_INPUTS = ("text", "string", "value", "prompt")  # of an encoder, or of a node that holds a text
_CONDITIONING_INPUTS = ("conditioning", "positive", "negative")  # of a node that passes one on
_MAX_LINKS = 16

Node = Mapping[str, Any]


def is_graph(values: Mapping[str, Any]) -> bool:
    return any(isinstance(node, dict) and "class_type" in node for node in values.values())


def read(graph: Mapping[str, Any]) -> Found:
    """
    Raises
    ------
    ValueError
        of one sentence, when the graph is not simple.
    """
    found = Found()
    samplers = [node for node in graph.values() if _kind(node) in _SAMPLERS]
    if len(samplers) != 1:
        raise ValueError(f"its graph has {len(samplers) or 'no'} samplers that are known here; one is read")
    inputs = _inputs(samplers[0])
    prompt = _text(graph, inputs.get("positive"), "positive")
    if prompt is None:
        raise ValueError("its graph has no prompt that leads straight to the sampler")
    found.text("prompt", prompt)
    found.text("negative_prompt", _text(graph, inputs.get("negative"), "negative"))
    for field, kind, name in (
        ("seed", int, _SAMPLERS[_kind(samplers[0])]),
        ("steps", int, "steps"),
        ("guidance_scale", float, "cfg"),
    ):
        if name in inputs:
            found.number(field, kind, name, _value(graph, inputs[name]))
    if "sampler_name" in inputs:
        found.sampler(_value(graph, inputs["sampler_name"]))
    latent = _inputs(_linked(graph, inputs.get("latent_image")))
    if "width" in latent and "height" in latent:
        found.size("size", _value(graph, latent["width"]), _value(graph, latent["height"]))
    found.unused(name for name in ("scheduler", "denoise") if name in inputs and inputs[name] not in (1, 1.0))
    return found


def _text(graph: Mapping[str, Any], link: Any, side: str) -> str | None:
    """The text at the end of a chain of links; None where the chain parts, or never ends in one."""
    for _ in range(_MAX_LINKS):
        if isinstance(link, str):
            return link
        node = _linked(graph, link)
        inputs = _inputs(node)
        if _kind(node) == "ConditioningZeroOut":
            return None  # its text is thrown away
        names = [name for name in (*_TEXT_INPUTS, *_CONDITIONING_INPUTS) if name in inputs]
        if side in names:
            names = [side]  # a node that passes both on
        if len(names) != 1:
            return None
        link = inputs[names[0]]
    return None


def _value(graph: Mapping[str, Any], value: Any) -> Any:
    """A number, or that of the node which holds it."""
    return value if not isinstance(value, list) else _inputs(_linked(graph, value)).get("value", value)


def _linked(graph: Mapping[str, Any], link: Any) -> Any:
    return graph.get(link[0]) if isinstance(link, list) and link and isinstance(link[0], str) else None


def _inputs(node: Any) -> Node:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}


def _kind(node: Any) -> str:
    kind = node.get("class_type") if isinstance(node, dict) else None
    return kind if isinstance(kind, str) else ""
