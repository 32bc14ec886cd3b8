"""A1111's text is read wherever its settings stand, whatever other tools write around them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import settings_from_chunks

S = "Steps: 20, Sampler: Euler, CFG scale: 3, Seed: 42, Size: 512x512"
NUMBERS = {
    "steps": 20, "sampler": "euler", "guidance_scale": 3.0, "seed": 42, "width": 512, "height": 512,
    "snap_resolution": False,
}  # fmt: skip


def read(text: str) -> dict[str, Any]:
    return settings_from_chunks({"parameters": text}).request


@pytest.mark.parametrize(
    "text",
    [
        f"a red heart\nNegative prompt: blurry\n{S}\nTemplate: a {{red|blue}} heart",
        f"a red heart\nNegative prompt: blurry\n{S}\nTemplate:a {{red|blue}} heart\nNegative Template:{{blurry|bad}}",
        f"a red heart\nNegative prompt: blurry\n{S}\nTemplate: Steps: 3, Seed: 1\nSteps: 9, Sampler: DDIM, Seed: 5",
        f'a red heart\nNegative prompt: blurry\n{S}\n{{"Seed": 7, "prompt": "a: b, c: d"}}',
        f'a red heart\nNegative prompt: blurry\n{S}\n{{\n  "Seed": 7\n}}',
        f'a red heart\nNegative prompt: blurry\n{S}, ADetailer prompt: "a \\"face\\",\nSeed: 7", Version: v1.10',
        "a red heart\nNegative prompt: blurry\nSteps: 20, Style: one\ntwo, three, Sampler: Euler, CFG scale: 3,\n"
        "Seed: 42, Size: 512x512",
        f"a red heart\nNegative prompt: blurry\n{S}\nNegative prompt: another",
        f"a red heart\n{S}\nNegative prompt: blurry",
        f"a red heart\r\nNegative prompt: blurry\r\n{S}\r\n",
        f'a red heart\nNegative prompt: blurry\n{S}, Civitai resources: [{{"type":"checkpoint","modelVersionId":1,'
        '"modelName":"A, B: C"}], Civitai metadata: {"remixOfId":3}',
        f'a red heart\nNegative prompt: blurry\n{S}, Hashes: {{"model": "abc", "Seed": "7"}}',
        f'a red heart\nNegative prompt: blurry\n{S}, Styles: "[\'Fooocus V2\', \'Sharp\']", Version: Fooocus v2.5.5',
        "a red heart\nNegative prompt: blurry\nSteps: 20, Size: 512x512, Sampler: Euler, Seed: 42, CFG scale: 3, "
        "App: SD.Next, Version: 8b73cb6, Pipeline: Flux, Operations: txt2img",
        "a red heart\nNegative prompt: blurry\nSampler: Euler, CFG scale: 3, Seed: 42, Size: 512x512, Steps: 20",
    ],
)  # fmt: skip
def test_settings_are_found_whatever_stands_after_or_within_them(text: str) -> None:
    assert read(text) == {"prompt": "a red heart", "negative_prompt": "blurry", **NUMBERS}


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        ("a red heart\nNegative prompt: ratio 3:4, style: bad, mood: dark, text: none", "a red heart",
         "ratio 3:4, style: bad, mood: dark, text: none"),
        ("a red heart\nNegative prompt: blurry\nratio: 3, style: bad, mood: dark", "a red heart",
         "blurry\nratio: 3, style: bad, mood: dark"),
        ("a sign: red, a heart: blue, the mood: dark", "a sign: red, a heart: blue, the mood: dark", None),
        ("a ladder\nSteps: many, wide", "a ladder\nSteps: many, wide", None),
        ("{red|blue} heart", "{red|blue} heart", None),
        ('{"a quoted" thing', None, None),
    ],
)  # fmt: skip
def test_words_are_no_settings(text: str, prompt: str | None, negative: str | None) -> None:
    if prompt is None:
        with pytest.raises(RequestError, match="damaged JSON"):
            read(text)
        return
    expected = {"prompt": prompt} | ({"negative_prompt": negative} if negative else {})
    assert read(text) == expected


def test_an_empty_negative_prompt_with_the_settings_in_its_line_is_none() -> None:
    assert read(f"a red heart\nNegative prompt: {S}") == {"prompt": "a red heart", **NUMBERS}


# what a tool writes: each value by itself says nothing of our settings, whatever it holds
_WORDS = st.text(st.sampled_from("abc äñ漢:,.{}[]()\"'\\|<>\n-=/"), max_size=30)
_LINE = st.text(st.sampled_from("abc äñ漢:.|<>()'-"), min_size=1, max_size=30).map(lambda text: f"a {text}".strip())
_JSON = st.recursive(
    st.none() | st.integers() | _WORDS, lambda inner: st.lists(inner) | st.dictionaries(_WORDS, inner), max_leaves=3
)
_EXTRAS = st.one_of(
    st.tuples(
        st.sampled_from(["ADetailer prompt", "Lora hashes", "ControlNet 0", "Wildcard prompt", "Styles"]),
        _WORDS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    ),
    st.tuples(st.sampled_from(["ADetailer negative prompt", "RP Ratios"]), _WORDS.map(  # a line break as it is
        lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')),
    st.tuples(st.sampled_from(["Civitai resources", "Hashes", "Civitai metadata"]),
              (st.lists(_JSON) | st.dictionaries(_WORDS, _JSON)).map(json.dumps)),
    st.tuples(st.sampled_from(["Model", "Schedule type", "Version", "Module 1"]), st.sampled_from(
        ["v1.10.1", "f2.0.1", "Karras", "ae"])),
)  # fmt: skip
_AFTER = st.one_of(
    st.just(""), _LINE.map(lambda text: f"\nTemplate: {text}"),
    _LINE.map(lambda text: f"\nTemplate:{text}\nNegative Template:{text}\nSteps: 3, Seed: 7"),
    st.dictionaries(_WORDS, _JSON).map(lambda value: "\n" + json.dumps(value)),
    st.dictionaries(_WORDS, _JSON).map(lambda value: "\n" + json.dumps(value, indent=2)),
)  # fmt: skip


@st.composite
def written(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A text as a tool writes it, and what it says."""
    prompt = "\n".join(draw(st.lists(_LINE, min_size=1, max_size=3)))
    negative = "\n".join(draw(st.lists(_LINE, max_size=2)))
    steps, seed = draw(st.integers(1, 200)), draw(st.integers(0, 2**53 - 1))
    guidance = draw(st.floats(0, 30))
    width, height = draw(st.integers(1, 4096)), draw(st.integers(1, 4096))
    pairs = [("Sampler", "Euler"), ("CFG scale", str(guidance)), ("Seed", str(seed)), ("Size", f"{width}x{height}")]
    pairs = draw(st.permutations([*pairs, *draw(st.lists(_EXTRAS, max_size=4))]))
    line = ", ".join(f"{key}: {value}" for key, value in [("Steps", steps), *pairs])
    says = {
        "prompt": prompt, "steps": steps, "sampler": "euler", "guidance_scale": guidance, "seed": seed,
        "width": width, "height": height, "snap_resolution": False,
    }  # fmt: skip
    if negative:
        says["negative_prompt"] = negative
    return "\n".join([prompt, *([f"Negative prompt: {negative}"] if negative else []), line]) + draw(_AFTER), says


@settings(max_examples=60, deadline=None)
@given(written())
def test_what_other_tools_write_around_the_settings_changes_nothing_of_them(case: tuple[str, dict[str, Any]]) -> None:
    text, says = case
    assert read(text) == says


def test_a_prompt_that_is_too_long_is_said_to_be_too_long() -> None:
    with pytest.raises(RequestError, match=r"10,050 characters.*at most 10000 characters"):
        read("a" * 10_050 + "\n" + S)


@pytest.mark.parametrize(
    "text", [" " * 300_000, "[1," * 100_000, '"' * 300_000, 'a: "' * 75_000, ", [" * 100_000, "Steps: 1, " * 30_000]
)
def test_a_hostile_text_is_read_in_a_moment(text: str) -> None:
    assert read(f"a cat\nSteps: 20, {text}")["prompt"].startswith("a cat")


def test_loras_are_written_and_read_as_a1111_has_them() -> None:
    values = read(
        "a fox <lora:ink:0.8>, in snow<lora:Old Film:-0.5:1><lora:plain> <lora:ink:2>\nNegative prompt: fog\n"
        "Steps: 20, Sampler: Euler, CFG scale: 3, Seed: 42, Size: 512x512"
    )
    assert values["prompt"] == "a fox, in snow"
    assert values["loras"] == [
        {"name": "ink", "strength": 0.8}, {"name": "Old Film", "strength": -0.5}, {"name": "plain", "strength": 1.0},
    ]  # fmt: skip
    assert read(f"a <lora: and > fox\n{S}")["prompt"] == "a <lora: and > fox"
