"""The vision tower, and the sequence with its tokens: what upstream computes, case by case."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from hidream_studio.job.references import PROCESSOR_FILE, PictureProcessor
from hidream_studio.model.checkpoint import open_checkpoint, open_tower
from hidream_studio.model.config import VISION_8B
from hidream_studio.model.layout import vision_slots
from hidream_studio.model.positions import prompt_positions, step_positions
from hidream_studio.model.tokens import PromptTokenizer
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.vision import VisionTokens, VisionTower
from hidream_studio.model.vision_input import vision_patches
from hidream_studio.model.weights import load_model, load_tower

GOLDEN = Path(__file__).parents[1] / "data" / "golden_ref"
CASES = json.loads((GOLDEN / "cases.json").read_text(encoding="utf-8"))
PROCESSOR = PictureProcessor.from_json(json.loads((GOLDEN / "checkpoint" / PROCESSOR_FILE).read_text()))


@pytest.fixture(scope="module")
def seeing() -> O1Transformer:
    return load_model(open_checkpoint(str(GOLDEN / "checkpoint")), "cpu", torch.float32)


@pytest.fixture(scope="module")
def tower() -> VisionTower:
    return load_tower(open_tower(open_checkpoint(str(GOLDEN / "checkpoint"))), "cpu", torch.float32)


@pytest.fixture(scope="module")
def words() -> PromptTokenizer:
    return PromptTokenizer(GOLDEN / "checkpoint")


def pixels(name: str, kind: str) -> list[np.ndarray]:
    count = len(list((GOLDEN / name).glob(f"{kind}_*.png")))
    return [np.asarray(Image.open(GOLDEN / name / f"{kind}_{index}.png")) for index in range(count)]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", sorted(CASES))
@torch.inference_mode()
def test_the_towers_tokens_are_upstreams(tower: VisionTower, name: str) -> None:
    expected = load_file(GOLDEN / f"{name}.safetensors")
    rows, grids = vision_patches(pixels(name, "vision"), PROCESSOR)
    assert torch.equal(torch.tensor([(1, *grid) for grid in grids]), expected["vision.grid_thw"])
    assert relative_error(rows[:8], expected["vision.pixel_values_head"]) < 1e-6
    assert relative_error(rows[-8:], expected["vision.pixel_values_tail"]) < 1e-6
    seen = tower(rows, grids)
    assert relative_error(seen.embeds, expected["vision.embeds"]) < 1e-5
    assert relative_error(torch.stack(seen.deepstack), expected["vision.deepstack"]) < 1e-5


@pytest.mark.parametrize("name", sorted(CASES))
def test_ids_positions_and_types_are_upstreams_exactly(words: PromptTokenizer, name: str) -> None:
    expected, case = load_file(GOLDEN / f"{name}.safetensors"), CASES[name]
    grids = [PROCESSOR.grid(picture.shape[1::-1]) for picture in pixels(name, "vision")]
    patches = [(picture.shape[0] // 32, picture.shape[1] // 32) for picture in pixels(name, "ref")]
    width, height = case["output"]
    for which, prompt in (("cond", case["prompt"]), ("uncond", " ")):
        if f"{which}.input_ids" not in expected:
            continue
        ids = words.encode(prompt, picture_tokens=[rows * cols for rows, cols in grids])
        assert ids == expected[f"{which}.input_ids"][0].tolist()
        before, position = prompt_positions(ids[:-1], words.picture, grids)
        step = step_positions(torch.tensor([position]), height // 32, width // 32, patches)
        assert torch.equal(torch.cat((before, step), dim=-1), expected[f"{which}.position_ids"])
        types = [0] * before.shape[-1] + [1] * step.shape[-1]
        assert expected[f"{which}.token_types"][0].tolist() == types


@torch.inference_mode()
def test_a_picture_is_seen_alike_whatever_stands_beside_it(tower: VisionTower) -> None:
    pictures = pixels("two_subjects", "vision")
    together = tower(*vision_patches(pictures, PROCESSOR))
    alone = [tower(*vision_patches([picture], PROCESSOR)) for picture in pictures]
    assert relative_error(torch.cat([seen.embeds for seen in alone]), together.embeds) < 1e-6


@torch.inference_mode()
def test_a_prompt_read_behind_its_pictures_is_read_as_in_one_piece(
    seeing: O1Transformer, words: PromptTokenizer, tower: VisionTower
) -> None:
    seen = tower(*vision_patches(pixels("two_subjects", "vision"), PROCESSOR))
    ids = words.encode("a red circle", picture_tokens=[rows * cols for rows, cols in seen.grids])[:-1]
    end = len(ids) - ids[::-1].index(words.picture_end)
    whole = seeing.encode_pictures(ids, words.picture, seen)
    before = seeing.encode_pictures(ids[:end], words.picture, seen)
    rest = seeing.encode_text(torch.tensor([ids[end:]]), before)
    assert (rest.length, rest.next_position) == (whole.length, whole.next_position) == (len(ids), whole.end)
    for layer in range(3):
        for found, expected in zip(rest.layer(layer), whole.layer(layer), strict=True):
            assert relative_error(found, expected) < 1e-6


@torch.inference_mode()
def test_deepstack_touches_the_first_layers_at_the_pictures_alone(
    seeing: O1Transformer, words: PromptTokenizer
) -> None:
    ids = words.encode("a", picture_tokens=[4])[:-1]
    none, some = (
        seeing.encode_pictures(ids, words.picture, VisionTokens(torch.ones(4, 64), (level,), ((2, 2),)))
        for level in (torch.zeros(4, 64), torch.ones(4, 64))
    )
    first = ids.index(words.picture)
    assert torch.equal(none.keys[0], some.keys[0])
    assert torch.equal(none.keys[1][:, :first], some.keys[1][:, :first])
    assert not torch.equal(none.keys[1][:, first], some.keys[1][:, first])


def test_the_8b_tower_has_the_tensors_of_the_real_checkpoint() -> None:
    shapes = {slot.key: slot.shape for slot in vision_slots(VISION_8B)}
    assert shapes["model.visual.blocks.26.attn.qkv.weight"] == (3456, 1152)
    assert shapes["model.visual.patch_embed.proj.weight"] == (1152, 3, 2, 16, 16)
    assert shapes["model.visual.deepstack_merger_list.2.linear_fc2.weight"] == (4096, 4608)
    assert shapes["model.visual.merger.norm.weight"] == (1152,)
    assert len(shapes) == 3 + 27 * 12 + 4 * 6
