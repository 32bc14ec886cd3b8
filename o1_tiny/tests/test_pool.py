"""Workers draw scenes without end; the pool keeps the newest."""

from __future__ import annotations

from random import Random

import torch

from o1_tiny.training.pool import TEXT_TOKENS, ScenePool, SceneStream, draw_shard
from o1_tiny.training.tokenizer import build_tokenizer
from o1_tiny.world.scenes import SCENE_VALUES


def test_a_shard_follows_from_its_seed_and_fits():
    tokenizer = build_tokenizer()
    first, again, other = (draw_shard(Random(seed), tokenizer, 64) for seed in (1, 1, 2))
    assert (first.values == again.values).all() and (first.ids == again.ids).all()
    assert (first.values != other.values).any()
    assert first.values.shape == (64, SCENE_VALUES) and first.ids.shape == (64, TEXT_TOKENS)
    assert first.lengths.min() > 8 and first.lengths.max() <= TEXT_TOKENS


def test_a_few_scenes_of_a_shard_show_something_else_than_their_captions():
    tokenizer = build_tokenizer()
    slipped, true = (draw_shard(Random(5), tokenizer, 400, slips=slips) for slips in (True, False))
    assert (slipped.ids == true.ids).all()
    assert 0.003 < (slipped.values != true.values).any(axis=1).mean() < 0.15


def test_new_scenes_take_the_place_of_the_oldest():
    tokenizer = build_tokenizer()
    pool = ScenePool(96, torch.device("cpu"))
    shards = [draw_shard(Random(seed), tokenizer, 32) for seed in range(4)]
    for shard in shards:
        pool.add(shard)
    assert pool.scenes_seen == 128
    for start, shard in ((0, shards[3]), (32, shards[1]), (64, shards[2])):
        assert torch.equal(pool.values[start : start + 32], torch.from_numpy(shard.values))
        assert torch.equal(pool.lengths[start : start + 32], torch.from_numpy(shard.lengths))


def test_the_stream_of_processes_delivers_and_ends():
    stream = SceneStream(build_tokenizer(), seed=3, processes=1)
    try:
        assert len(stream.take().values) > 0
    finally:
        stream.close()
