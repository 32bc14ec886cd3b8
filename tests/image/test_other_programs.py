"""What SwarmUI, Fooocus, InvokeAI and ComfyUI write is read, or refused by name; none of it becomes a prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import settings_from_chunks
from hidream_studio.job.request import GenerationRequest

SAYS = {
    "prompt": "a red heart", "negative_prompt": "blurry", "seed": 5, "steps": 20, "guidance_scale": 3.5, "width": 512,
    "height": 768, "snap_resolution": False, "sampler": "euler",
}  # fmt: skip
SWARM = {
    "sui_image_params": {
        "prompt": "a red heart", "negativeprompt": "blurry", "model": "some/model", "seed": 5, "steps": 20,
        "cfgscale": 3.5, "aspectratio": "2:3", "width": 512, "height": 768, "sampler": "euler",
        "swarm_version": "0.9.5",
    },
    "sui_extra_data": {"date": "2025-03-15"},
    "sui_models": [{"name": "some/model", "param": "model", "hash": "0x1"}],
}  # fmt: skip
FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernaut", "full_prompt": ["a red heart", "sharp"],
    "guidance_scale": 3.5, "metadata_scheme": "fooocus", "negative_prompt": "blurry", "performance": "Speed",
    "prompt": "a red heart", "resolution": "(512, 768)", "sampler": "euler", "scheduler": "karras", "seed": "5",
    "sharpness": 2.0, "steps": 20, "styles": "['Fooocus V2']", "version": "Fooocus v2.5.5",
}  # fmt: skip
INVOKE = {
    "generation_mode": "txt2img", "positive_prompt": "a red heart", "negative_prompt": "blurry", "width": 512,
    "height": 768, "seed": 5, "cfg_scale": 3.5, "steps": 20, "scheduler": "euler", "app_version": "4.2.0",
    "model": {"name": "x"},
}  # fmt: skip
INVOKE_2 = {
    "model": "stable diffusion", "app_version": "2.3.5",
    "image": {"prompt": [{"prompt": "a red heart [blurry]", "weight": 1.0}], "steps": 20, "cfg_scale": 3.5, "seed": 5,
              "width": 512, "height": 768, "sampler": "k_euler"},
}  # fmt: skip
DREAM = '"a red heart [blurry]" -s 20 -S 5 -W512 -H768 -C3.5 -A euler -F'
COMFY = {
    "3": {"class_type": "KSampler", "inputs": {
        "seed": 5, "steps": 20, "cfg": 3.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        "model": ["4", 0], "positive": ["8", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["10", 0], "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "8": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["6", 0], "guidance": 3.5}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    "10": {"class_type": "PrimitiveString", "inputs": {"value": "a red heart"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "chunks"),
    [
        ("swarmui", {"parameters": json.dumps(SWARM, indent=2)}),
        ("fooocus", {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}),
        ("invokeai", {"invokeai_metadata": json.dumps(INVOKE), "invokeai_graph": "{}"}),
        ("invokeai", {"Dream": DREAM}),
        ("comfyui", {"prompt": json.dumps(COMFY), "workflow": "{}"}),
        ("comfyui", {"UserComment": json.dumps(COMFY)}),
        ("swarmui", {"UserComment": json.dumps(SWARM)}),
    ],
)
def test_the_settings_of_another_program_come_back(source: str, chunks: dict[str, str]) -> None:
    restored = settings_from_chunks(chunks)
    assert (restored.source, restored.request) == (source, SAYS)


def test_the_settings_of_an_older_invokeai_come_back() -> None:
    restored = settings_from_chunks({"sd-metadata": json.dumps(INVOKE_2)})
    assert restored.request == {key: value for key, value in SAYS.items() if key != "sampler"}
    assert any("k_euler" in note for note in restored.notes)


def changed(graph: dict[str, Any], node: str, **inputs: Any) -> dict[str, Any]:
    return graph | {node: graph[node] | {"inputs": graph[node]["inputs"] | inputs}}


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ({"parameters": '{"prompt": "a red heart", "some": 1}'}, "JSON of a program that is not known here"),
        ({"parameters": '{"sui_image_params": {"seed": 5}}'}, "no prompt"),
        ({"parameters": '{"sui_image_params": {"prompt": "a red'}, "damaged JSON"),
        ({"parameters": '{"prompt": ' + "[" * 100_000}, "damaged JSON"),
        ({"invokeai_metadata": "[]"}, "no settings"),
        ({"sd-metadata": "{}"}, "no image"),
        ({"Dream": '"a red heart'}, "quotes do not end"),
        ({"prompt": "a red heart"}, "no graph of ComfyUI"),
        ({"prompt": json.dumps(COMFY | {"30": COMFY["3"]})}, "2 samplers"),
        ({"prompt": json.dumps({"9": COMFY["9"]})}, "no samplers"),
        ({"prompt": json.dumps(changed(COMFY, "3", positive=["99", 0]))}, "no prompt that leads straight"),
        ({"prompt": json.dumps(changed(COMFY, "8", conditioning=["8", 0]))}, "no prompt that leads straight"),
        ({"prompt": json.dumps(changed(COMFY, "8", positive=["6", 0], negative=["7", 0]))}, ""),
        ({"UserComment": "taken on holiday"}, "comment without settings"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(chunks: dict[str, str], says: str) -> None:
    if not says:  # a node that passes both prompts on is followed by the side that is looked for
        assert settings_from_chunks(chunks).request == SAYS
        return
    with pytest.raises(RequestError, match=says) as refusal:
        settings_from_chunks(chunks)
    assert refusal.value.field == "file"


def test_a_text_that_cannot_be_read_does_not_hide_another_one_beside_it() -> None:
    restored = settings_from_chunks({"parameters": '{"some": 1}', "prompt": json.dumps(COMFY)})
    assert (restored.source, restored.request) == ("comfyui", SAYS)
    assert "not known here" in restored.notes[0]


def test_values_that_cannot_be_used_are_named() -> None:
    graph = changed(COMFY, "3", seed=2**60, sampler_name="dpmpp_2m", steps=["99", 0], scheduler="karras")
    restored = settings_from_chunks({"prompt": json.dumps(graph)})
    said = "; ".join(restored.notes)
    assert "seed 1152921504606846976" in said and "dpmpp_2m" in said and "steps ['99', 0] is no number" in said


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_whatever_stands_where_a_value_belongs_the_answer_is_settings_or_a_refusal(data: st.DataObject) -> None:
    key, text = data.draw(st.sampled_from([
        ("parameters", SWARM), ("parameters", FOOOCUS), ("invokeai_metadata", INVOKE), ("sd-metadata", INVOKE_2),
        ("prompt", COMFY),
    ]))  # fmt: skip
    values = json.loads(json.dumps(text))
    place = values
    for _ in range(3):
        chosen = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[chosen], dict) or data.draw(st.booleans()):
            place[chosen] = data.draw(_ANYTHING)
            break
        place = place[chosen]
    try:
        restored = settings_from_chunks({key: json.dumps(values)})
    except RequestError as refusal:
        assert refusal.field == "file"
    else:
        GenerationRequest.model_validate(restored.request)
