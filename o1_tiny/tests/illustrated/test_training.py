"""Training the model of the illustrated world, on a CPU and with toy settings."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch

from hidream_studio.job import references as package
from hidream_studio.job.profiles import profile_for_checkpoint
from hidream_studio.model.checkpoint import open_checkpoint, open_tower
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import load_model, load_tower
from hidream_studio.sampler import schedules
from o1_tiny.illustrated.letters import CHARACTERS
from o1_tiny.illustrated.training.export import export, save_frame
from o1_tiny.illustrated.training.layout import layout_of
from o1_tiny.illustrated.training.loop import Trainer
from o1_tiny.illustrated.training.probes import letters_seen
from o1_tiny.illustrated.training.recipe import (
    DRAWN,
    EDITED,
    OBLONG,
    TINY,
    TINY_DRAWN,
    TINY_EDITED,
    Mode,
    Recipe,
    changed,
    editing,
)  # fmt: skip
from o1_tiny.illustrated.training.sampling import full_schedule, load_decoder, read_folder
from o1_tiny.illustrated.training.sampling import load_tower as load_own_tower
from o1_tiny.illustrated.training.stream import TEXT_TOKENS, Pool, draw_shard
from o1_tiny.illustrated.training.tokenizer import build_tokenizer, encode, vocabulary_size
from o1_tiny.illustrated.training.tower import Tower
from o1_tiny.illustrated.training.trainee import Pictures, eager, parts, predict, with_pictures

TOKENIZER = build_tokenizer()
PICTURE_IDS = tuple(TOKENIZER.token_to_id(f"<|{name}|>") for name in ("vision_start", "image_pad", "vision_end"))
CPU = torch.device("cpu")


def toy() -> tuple[O1Transformer, Tower]:
    torch.manual_seed(0)
    model = O1Transformer(TINY.config(vocabulary_size(TOKENIZER)))
    return model, Tower(TINY.tower, TINY.hidden_size)


class Drawn:
    """A stream without processes."""

    def take_ready(self) -> None:
        return None


@pytest.fixture(scope="module")
def pools() -> dict[str, Pool]:
    found = {kind: Pool(kind, 256, CPU) for kind in ("scenes", "edits")}
    for kind, pool in found.items():
        shard = draw_shard(kind, Random(0), TOKENIZER, 256)
        pool.add(shard)
    return found


def test_the_model_is_small_enough_to_ship() -> None:
    recipe = Recipe()
    with torch.device("meta"):
        model = O1Transformer(recipe.config(vocabulary_size(TOKENIZER)))
        tower = Tower(recipe.tower, recipe.hidden_size)
    numbers = sum(p.numel() for p in (*model.parameters(), *tower.parameters())) + model.embed.weight.numel()
    assert numbers <= 24e6 and numbers * 2 <= 48e6


def test_predictions_are_those_of_the_model_itself() -> None:
    model, tower = toy()
    ids = encode(TOKENIZER, ["a red boat on the sea at sunset"])[0]
    mode, patches, t = Mode((2, 3)), torch.randn(2, 6, 3072), torch.tensor([0.3, 0.8])
    layout = layout_of(mode, model.config, tower.shape, len(ids) + 4, PICTURE_IDS, CPU)
    padded = torch.tensor([ids + [0] * 4])
    with torch.no_grad():
        ours = predict(model, tower, parts(eager), layout, padded, torch.tensor([len(ids)]), patches, t, draws=2)
        prefix = model.encode_text(torch.tensor([ids, ids]))
        theirs = model(patches, t, prefix, 2, 3)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_with_pictures_predictions_are_what_the_package_makes_of_the_exported_checkpoint(tmp_path: Path) -> None:
    model, tower = toy()
    for weight in (*model.parameters(), *tower.parameters()):
        weight.data = (
            (torch.randn_like(weight) * (weight.ndim > 1) * 0.1 + (weight.ndim == 1) * weight).bfloat16().float()
        )
    save_frame(model.config, tower, TOKENIZER, tmp_path)
    export(model, tower, None, tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    theirs, their_tower = (
        load_model(checkpoint, CPU, torch.float32),
        load_tower(open_tower(checkpoint), CPU, torch.float32),
    )
    mode = Mode((2, 3), ((2, 3), (2, 2)), ((1, 2), (2, 1)))
    text = encode(TOKENIZER, ["move the boat to the left"])[0]
    layout = layout_of(mode, model.config, tower.shape, len(text), PICTURE_IDS, CPU)
    references = torch.rand(1, 10, 3072) * 2 - 1
    seen = [torch.rand(1, 4 * rows * cols, 1536) * 2 - 1 for rows, cols in mode.pictures]
    patches, t = torch.randn(1, 6, 3072), torch.tensor([0.4])
    ids = with_pictures(torch.tensor([text]), layout)
    with torch.no_grad():
        pictures = Pictures(references, tuple(seen))
        ours = predict(model, tower, parts(eager), layout, ids, torch.tensor([ids.shape[1]]), patches, t, pictures)
        tokens = their_tower(torch.cat(seen, dim=1)[0], [(2 * rows, 2 * cols) for rows, cols in mode.pictures])
        first = 3 + layout.picture_tokens
        before = theirs.encode_pictures(ids[0, :first].tolist(), PICTURE_IDS[1], tokens)
        prefix = theirs.encode_text(ids[:, first:], before)
        rotary = theirs.step_rotary(torch.tensor([prefix.next_position]), 2, 3, mode.references)
        found = theirs.forward_branches(patches, t, [prefix], rotary, theirs.embed_patches(references))
    torch.testing.assert_close(ours, found, rtol=1e-3, atol=1e-3)


def test_a_few_steps_move_every_weight_and_a_second_call_goes_on_where_the_first_stopped(
    pools: dict[str, Pool],
) -> None:
    recipe = changed(TINY, ["edits_from=0", "edit_share=0.5"])
    modes = (*TINY_DRAWN, *TINY_EDITED)

    def trainer() -> Trainer:
        model, tower = toy()
        return Trainer(
            model, tower, recipe, pools, encode(TOKENIZER, [" "])[0], PICTURE_IDS, modes, compiled=False, graphs=False
        )

    first = trainer()
    before = [weight.detach().clone() for weight in first.trained]
    steps = list(first.train(Drawn(), TINY_DRAWN, TINY_EDITED, 1e6, float("inf"), 0, report_every=4, max_steps=4))
    assert steps[-1].step == 4 and steps[-1].loss < 1e3
    still = [
        name
        for (name, _), old, new in zip(
            [*first.model.named_parameters(), *first.tower.named_parameters()], before, first.trained, strict=True
        )
        if torch.equal(old, new)
    ]
    assert not still
    second = trainer()
    second.restore(first.state())
    assert second.step == 4
    assert all(torch.equal(a, b) for a, b in zip(first.trained, second.trained, strict=True))
    list(second.train(Drawn(), TINY_DRAWN, TINY_EDITED, 1e6, float("inf"), 0, max_steps=5))
    assert second.step == 5


def test_an_exported_checkpoint_opens_strictly_and_holds_the_tower(tmp_path: Path) -> None:
    model, tower = toy()
    save_frame(model.config, tower, TOKENIZER, tmp_path)
    export(model, tower, None, tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.config == model.config
    trained = {(cols * 32, rows * 32) for rows, cols in [(16, 16), *OBLONG]}
    assert set(profile_for_checkpoint(tmp_path).buckets) == trained
    again = load_own_tower(*read_folder(tmp_path), CPU)
    for key, value in tower.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value.bfloat16().float())


def test_what_is_measured_is_what_the_package_draws(tmp_path: Path) -> None:
    model, tower = toy()
    save_frame(model.config, tower, TOKENIZER, tmp_path)
    export(model, tower, None, tmp_path)
    ours, theirs = (
        load_decoder(*read_folder(tmp_path), CPU),
        load_model(open_checkpoint(str(tmp_path)), CPU, torch.float32),
    )
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    for steps in (24, 50):
        schedule = schedules.full_schedule(steps, 3.0)
        assert full_schedule(steps, 3.0) == (list(schedule.timesteps), list(schedule.sigmas))


def test_every_letter_of_a_sign_is_told_where_its_patch_is() -> None:
    places = torch.tensor([[0.5, 0.5, 0.0, 1 / 4 / 6]])
    codes = torch.tensor([[1 + CHARACTERS.index("O"), 1 + CHARACTERS.index("K"), 0, 0]], dtype=torch.int16)
    seen = letters_seen(places, codes, 8, 8).view(8, 8)
    assert seen[4].tolist() == [0, 0, *[1 + CHARACTERS.index("O")] * 2, *[1 + CHARACTERS.index("K")] * 2, 0, 0]
    assert not seen[0].any() and not seen[7].any()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("grid", [(16, 16), (8, 8), *OBLONG])
def test_references_are_sized_as_the_package_sizes_them(grid: tuple[int, int], count: int) -> None:
    height, width = grid[0] * 32, grid[1] * 32
    fitting = package.fit((width, height), package.patch_side(count, width, height))
    seen = package.vision_size(fitting.size, package.vision_side(count))
    assert editing(grid, count) == Mode(
        grid, ((fitting.size[1] // 32, fitting.size[0] // 32),) * count, ((seen[1] // 32, seen[0] // 32),) * count
    )


def test_all_modes_have_layouts_that_fit_their_tokens() -> None:
    config = TINY.config(64)
    for mode in (*DRAWN, *EDITED):
        layout = layout_of(mode, config, TINY.tower, TEXT_TOKENS, PICTURE_IDS, CPU)
        tokens = sum(rows * cols for rows, cols in mode.pictures)
        assert layout.own_cos.shape[1] == mode.own_tokens
        assert layout.text_cos.shape[1] == TEXT_TOKENS + tokens + 2 * len(mode.pictures) + 1
        assert len(layout.picture_places) == tokens
        for fits, (rows, cols) in zip(layout.fits, mode.references, strict=True):
            assert (fits[0].shape[0], fits[1].shape[0]) == (rows * 32, cols * 32)
