"""Pictures with LoRAs: what merged weights draw, each job its own, and none of it left behind."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hidream_studio.engine.pipeline import Pipeline, Rendered, Step
from hidream_studio.errors import LoraError
from hidream_studio.image.references import PreparedPicture, prepare
from hidream_studio.job.job import Job
from hidream_studio.job.loras import LoraUse
from hidream_studio.model.checkpoint import open_checkpoint
from lora_making import SPELLINGS, linears, make_lora, merge

PICTURES = Path(__file__).parents[1] / "data" / "golden_ref"
JOB = Job(
    prompt="a red circle", negative_prompt=None, seed=3, width=128, height=128, steps=3, guidance_scale=3.0,
    recipe="full", sampler="unipc", shift=3.0, noise_scale=8.0, noise="upstream", profile="hidream-o1-image",
    requested_width=128, requested_height=128, snap_resolution=False,
)  # fmt: skip


@pytest.fixture
def pipeline(golden_checkpoint: Path) -> Pipeline:
    return Pipeline.load(str(golden_checkpoint), device="cpu")


def use(pipeline: Pipeline, path: Path, strength: float = 1.0) -> LoraUse:
    hash_ = hashlib.sha256(path.read_bytes()).hexdigest()
    pipeline.loras.know({hash_: str(path)})
    return LoraUse(path.stem, strength, hash_)


def rendered(render: Generator[Step, None, Rendered]) -> np.ndarray:
    while True:
        try:
            next(render)
        except StopIteration as stop:
            return stop.value.pixels


def draw(pipeline: Pipeline, job: Job, references: tuple[PreparedPicture, ...] = ()) -> np.ndarray:
    return rendered(pipeline.render(job, references=references))


def keep_tensors(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What the model predicts from now on: pixels would hide small errors, and make of some a step of one."""
    kept: list[torch.Tensor] = []
    forward = pipeline._model.forward_branches

    def keep(*arguments: object) -> torch.Tensor:
        kept.append(forward(*arguments))
        return kept[-1]

    monkeypatch.setattr(pipeline._model, "forward_branches", keep)
    return kept


@pytest.mark.parametrize("trainer", SPELLINGS)
def test_a_picture_is_that_of_merged_weights(
    trainer: str, pipeline: Pipeline, golden_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = open_checkpoint(str(golden_checkpoint))
    change = make_lora(tmp_path / "x.safetensors", checkpoint, 4, trainer=trainer)
    merged = Pipeline.load(str(merge(tmp_path / "merged", checkpoint, (change, -0.8))), device="cpu")
    ours, theirs = keep_tensors(pipeline, monkeypatch), keep_tensors(merged, monkeypatch)
    draw(pipeline, replace(JOB, loras=(use(pipeline, tmp_path / "x.safetensors", -0.8),)))
    draw(merged, JOB)
    assert len(ours) == JOB.steps
    for found, expected in zip(ours, theirs, strict=True):
        assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_at_strength_0_the_picture_is_the_bases_bit_for_bit_and_no_file_is_read(
    pipeline: Pipeline, golden_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lora(tmp_path / "x.safetensors", open_checkpoint(str(golden_checkpoint)), 4)
    tensors = keep_tensors(pipeline, monkeypatch)
    off = replace(JOB, loras=(use(pipeline, tmp_path / "x.safetensors", 0.0),))
    (tmp_path / "x.safetensors").unlink()
    assert np.array_equal(draw(pipeline, off), draw(pipeline, JOB))
    half = len(tensors) // 2
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(tensors[:half], tensors[half:], strict=True))
    assert pipeline.text_bytes(off) == pipeline.text_bytes(JOB)


def test_jobs_with_different_loras_step_by_step_draw_what_each_draws_alone(
    pipeline: Pipeline, golden_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(str(golden_checkpoint))
    for name, seed in (("ink", 4), ("cat", 5)):
        make_lora(tmp_path / f"{name}.safetensors", checkpoint, seed)
    ink, cat = use(pipeline, tmp_path / "ink.safetensors"), use(pipeline, tmp_path / "cat.safetensors", 0.5)
    jobs = [replace(JOB, loras=loras) for loras in ((), (ink,), (cat,), (cat, ink), (replace(ink, strength=0.3),))]
    alone = [draw(with_nothing_kept(pipeline), job) for job in jobs]
    renders = [pipeline.render(job) for job in jobs]
    together: dict[int, np.ndarray] = {}
    for _ in range(JOB.steps + 1):
        for index, render in enumerate(renders):
            try:
                next(render)
            except StopIteration as stop:
                together[index] = stop.value.pixels
    for index, picture in enumerate(alone):
        assert np.array_equal(together[index], picture)
    assert len({picture.tobytes() for picture in alone}) == len(jobs)


def with_nothing_kept(pipeline: Pipeline) -> Pipeline:
    """With nothing kept."""
    pipeline.free_memory()
    return pipeline


def test_the_order_of_loras_means_nothing(pipeline: Pipeline, golden_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(golden_checkpoint))
    paths = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for seed, path in enumerate(paths):
        make_lora(path, checkpoint, seed)
    loras = tuple(use(pipeline, path) for path in paths)
    first = draw(pipeline, replace(JOB, loras=loras))
    pipeline.free_memory()
    assert np.array_equal(draw(pipeline, replace(JOB, loras=loras[::-1])), first)


def test_a_jobs_loras_count_in_its_memory(pipeline: Pipeline, golden_checkpoint: Path, tmp_path: Path) -> None:
    make_lora(tmp_path / "x.safetensors", open_checkpoint(str(golden_checkpoint)), 4)
    job = replace(JOB, loras=(use(pipeline, tmp_path / "x.safetensors"),))
    promised = pipeline.text_bytes(job)
    assert sum(promised.values()) > sum(pipeline.text_bytes(JOB).values())
    draw(pipeline, job)
    assert promised.items() <= pipeline.kept_text_bytes.items()


def test_pictures_as_input_are_seen_with_the_loras_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = PICTURES / "checkpoint"
    pipeline = Pipeline.load(str(folder), device="cpu")
    checkpoint = open_checkpoint(str(folder))
    vision = vision_linears(folder)
    shapes = linears(checkpoint) | vision
    change = make_lora(tmp_path / "x.safetensors", checkpoint, 4, trainer="musubi", shapes=shapes)
    merged = Pipeline.load(str(merge(tmp_path / "merged", checkpoint, (change, 1.0))), device="cpu")
    assert vision.keys() <= change.keys()
    pictures = prepare([Image.open(sorted((PICTURES / "pictures").iterdir())[0]).convert("RGB")], 128, 128)
    ours, theirs = keep_tensors(pipeline, monkeypatch), keep_tensors(merged, monkeypatch)
    job = replace(JOB, loras=(use(pipeline, tmp_path / "x.safetensors"),))
    promised = pipeline.text_bytes(job, pictures)
    draw(pipeline, job, pictures)
    draw(merged, JOB, pictures)
    for found, expected in zip_longest(ours, theirs):
        assert float((found - expected).norm() / expected.norm()) < 1e-5
    assert promised.items() <= pipeline.kept_text_bytes.items()


def vision_linears(folder: Path) -> dict[str, tuple[int, int]]:
    from safetensors import safe_open

    found = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            for key in tensors.keys():
                name, shape = key[len("model.") : -len(".weight")], tensors.get_slice(key).get_shape()
                if name.startswith("visual.") and key.endswith(".weight") and len(shape) == 2 and "pos_" not in name:
                    found[name] = (shape[0], shape[1])
    return found


def test_a_file_that_is_gone_or_another_one_by_now_is_said(
    pipeline: Pipeline, golden_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(str(golden_checkpoint))
    path = tmp_path / "x.safetensors"
    make_lora(path, checkpoint, 4)
    job = replace(JOB, loras=(use(pipeline, path),))
    make_lora(path, checkpoint, 5)
    with pytest.raises(LoraError, match=r"x\.safetensors has changed"):
        draw(pipeline, job)
    path.unlink()
    with pytest.raises(LoraError, match=r"x\.safetensors cannot be read"):
        draw(pipeline, job)
    make_lora(path, checkpoint, 4)
    draw(pipeline, job)
