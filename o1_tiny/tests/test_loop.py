"""The loop trains on what the pool holds, for as long as the clock says, and counts it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from hidream_studio.model.transformer import O1Transformer
from o1_tiny.training.loop import Trainer
from o1_tiny.training.pool import ScenePool, Shard, draw_shard
from o1_tiny.training.recipe import TINY
from o1_tiny.training.team import Team
from o1_tiny.training.tokenizer import build_tokenizer, encode, vocabulary_size

RECIPE = replace(TINY, micro_tokens=128, pool_scenes=8, growth=((0.0, 2),))
SIZES = ((4, 4), (3, 5))


class Stream:
    """Stands for the processes that draw scenes: one shard comes while training goes on."""

    def __init__(self, shard: Shard) -> None:
        self._ready: list[Shard] = [shard]

    def take_ready(self) -> Shard | None:
        return self._ready.pop() if self._ready else None


@pytest.fixture
def trainer() -> Trainer:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    pool = ScenePool(RECIPE.pool_scenes, torch.device("cpu"))
    pool.add(draw_shard(Random(1), tokenizer, RECIPE.pool_scenes))
    model = O1Transformer(RECIPE.config(vocabulary_size(tokenizer)))
    return Trainer(model, RECIPE, pool, encode(tokenizer, [" "])[0], compiled=False, graphs=False, team=Team())


def test_steps_change_every_weight_and_are_counted(trainer: Trainer):
    trainer.warm_up(SIZES, lambda line: None)
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    stream = Stream(draw_shard(Random(2), build_tokenizer(), 4))
    told = list(trainer.train(stream, SIZES, 1e6, 0, report_every=2, max_steps=4))  # type: ignore[arg-type]
    assert [(one.step, one.pictures, one.scenes) for one in told] == [(2, 32, 12), (4, 64, 12)]
    assert told[-1].image_tokens in range(64 * 15, 64 * 16 + 1)
    assert all(0 < one.loss < 100 for one in told)
    after = trainer.model.parameters()
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(parameter.any() for parameter in trainer.probes.parameters()), "places and outlines are asked for"


def test_training_ends_when_its_time_is_over(trainer: Trainer):
    *_, last = trainer.train(Stream(draw_shard(Random(2), build_tokenizer(), 4)), SIZES, 0.01, 0)  # type: ignore[arg-type]
    assert last.share >= 1 and last.step == 10  # the clock is asked every tenth step


def test_warming_up_is_no_training(trainer: Trainer):
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.warm_up(SIZES, lambda line: None)
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))
    assert float(trainer.loss_sum) == 0 and not trainer.optimizer.gradient.any()


def test_some_scenes_are_drawn_twice_with_their_prompt_and_without(trainer: Trainer):
    values, ids, mask = trainer._draw(6, 2)
    assert torch.equal(values[-2:], values[:2])
    assert torch.equal(ids[-2:], trainer._unconditional.expand(2, -1))
    assert (mask[-2:].sum(dim=1) == trainer._unconditional_length).all()
    assert (mask[:4].sum(dim=1) > trainer._unconditional_length).all()


def test_guided_predictions_of_the_pairs_are_judged_once_layouts_are_learnt(trainer: Trainer):
    def gradient() -> torch.Tensor:
        torch.manual_seed(3)
        trainer.optimizer.gradient.zero_()
        trainer._forward_backward(SIZES[0])
        return trainer.optimizer.gradient.clone()

    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    whole, trainer.run = trainer.run, replace(trainer.run, guided_loss=lambda c, u, clean, sigma: 0 * u.sum())
    trainer.fine_share.fill_(1)
    without = gradient()

    def watched(c: torch.Tensor, u: torch.Tensor, clean: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append((c, u))
        return whole.guided_loss(c, u, clean, sigma)

    trainer.run = replace(whole, guided_loss=watched)
    assert not torch.equal(gradient(), without)
    (conditional, unconditional), *_ = seen
    assert conditional.shape == unconditional.shape and not torch.equal(conditional, unconditional)


def test_a_batch_of_one_scene_is_refused(trainer: Trainer):
    trainer.recipe = replace(RECIPE, draws=8)
    with pytest.raises(ValueError, match="it takes two"):
        trainer.micro_step((8, 8))
