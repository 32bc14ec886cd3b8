"""Training the model of the illustrated world, on a CPU and with toy settings."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch

from hidream_studio.model.checkpoint import open_checkpoint
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import load_model
from hidream_studio.sampler import schedules
from o1_tiny.illustrated.letters import CHARACTERS
from o1_tiny.illustrated.training.export import export, save_frame
from o1_tiny.illustrated.training.layout import layout_of
from o1_tiny.illustrated.training.loop import Trainer
from o1_tiny.illustrated.training.probes import letters_seen
from o1_tiny.illustrated.training.recipe import (
    DRAWN, EDITED, TINY, TINY_DRAWN, TINY_EDITED, Mode, Recipe, changed, editing, fit, vision_grid,
)  # fmt: skip
from o1_tiny.illustrated.training.sampling import full_schedule, load_decoder, load_tower, read_folder
from o1_tiny.illustrated.training.stream import TEXT_TOKENS, Pool, draw_shard
from o1_tiny.illustrated.training.tokenizer import build_tokenizer, encode, vocabulary_size
from o1_tiny.illustrated.training.tower import Tower
from o1_tiny.illustrated.training.trainee import eager, parts, predict

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


def test_a_few_steps_move_every_weight_and_a_second_call_goes_on_where_the_first_stopped(pools: dict[str, Pool]) -> None:
    recipe = changed(TINY, ["edits_from=0", "edit_share=0.5"])
    modes = (*TINY_DRAWN, *TINY_EDITED)

    def trainer() -> Trainer:
        model, tower = toy()
        return Trainer(model, tower, recipe, pools, encode(TOKENIZER, [" "])[0], PICTURE_IDS, modes, compiled=False, graphs=False)

    first = trainer()
    before = [weight.detach().clone() for weight in first.trained]
    steps = list(first.train(Drawn(), TINY_DRAWN, TINY_EDITED, 1e6, float("inf"), 0, report_every=4, max_steps=4))
    assert steps[-1].step == 4 and steps[-1].loss < 1e3
    still = [name for (name, _), old, new in zip([*first.model.named_parameters(), *first.tower.named_parameters()], before, first.trained, strict=True) if torch.equal(old, new)]
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
    again = load_tower(*read_folder(tmp_path), CPU)
    for key, value in tower.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value.bfloat16().float())


def test_what_is_measured_is_what_the_package_draws(tmp_path: Path) -> None:
    model, tower = toy()
    save_frame(model.config, tower, TOKENIZER, tmp_path)
    export(model, tower, None, tmp_path)
    ours, theirs = load_decoder(*read_folder(tmp_path), CPU), load_model(open_checkpoint(str(tmp_path)), CPU, torch.float32)
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


def test_references_are_sized_as_upstream_sizes_them() -> None:
    assert editing((16, 16)) == Mode((16, 16), ((16, 16),), ((12, 12),))
    assert editing((16, 16), 2) == Mode((16, 16), ((12, 12),) * 2, ((12, 12),) * 2)
    fitted = fit(640, 384, 640)
    assert (fitted.width, fitted.height) == (800, 480)
    assert vision_grid(800, 480, 384) == (9, 15)


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
