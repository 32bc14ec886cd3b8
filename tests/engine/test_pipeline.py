"""A job in, upstream's picture out, whatever else the pipeline draws at the same time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file

from hidream_studio.engine.noise_ahead import NoiseAhead
from hidream_studio.engine.pipeline import Pipeline, Rendered, Step
from hidream_studio.engine.text_cache import TextCache
from hidream_studio.errors import CheckpointError, DeviceError, NumericError, PromptError, RequestError
from hidream_studio.job.job import Job
from hidream_studio.model.transformer import TextPrefix
from hidream_studio.settings import EMBEDDED_CHECKPOINT

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
CASES = json.loads((GOLDEN / "cases.json").read_text(encoding="utf-8"))
Pixels = npt.NDArray[np.uint8]

JOB = Job(
    prompt="a red circle", negative_prompt=None, seed=3, width=256, height=256, steps=4, guidance_scale=3.0,
    recipe="full", sampler="unipc", shift=3.0, noise_scale=8.0, noise="upstream", profile="hidream-o1-image",
    requested_width=256, requested_height=256, snap_resolution=False,
)  # fmt: skip

DRAW_IN_ANOTHER_PROCESS = """
import json, sys
import numpy as np
from hidream_studio.engine.noise_ahead import NoiseAhead
from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.job.job import Job

def rendered():
    return (yield from Pipeline.load(sys.argv[1], device="cpu").render(Job.from_dict(json.loads(sys.argv[2]))))

def keep():
    np.save(sys.argv[3], (yield from rendered()).pixels)

list(keep())
"""


@pytest.fixture(scope="module")
def pipeline(golden_checkpoint: Path) -> Pipeline:
    return Pipeline.load(str(golden_checkpoint), device="cpu")


def golden_job(case: dict) -> Job:
    dev = case["scheduler"] == "flash"
    return replace(
        JOB, prompt=case["prompt"], width=case["width"], height=case["height"], seed=case["seed"], steps=case["steps"],
        guidance_scale=case["guidance"], shift=case["shift"], recipe="dev" if dev else "full",
        sampler="flash" if dev else "unipc", noise_scale=7.5 if dev else 8.0,
    )  # fmt: skip


def finish(render: Generator[Step, None, Rendered]) -> Rendered:
    while True:
        try:
            next(render)
        except StopIteration as stop:
            return stop.value


def draw(pipeline: Pipeline, job: Job, init_image: Pixels | None = None) -> Pixels:
    return finish(pipeline.render(job, init_image=init_image)).pixels


def within_one_level(found: Pixels, expected: Pixels) -> float:
    return float((np.abs(found.astype(int) - expected.astype(int)) <= 1).mean())


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_first_preview_and_the_picture_are_upstreams(pipeline: Pipeline, name: str) -> None:
    golden = load_file(GOLDEN / f"{name}.safetensors")
    job = golden_job(CASES[name])
    render = pipeline.render(job)
    first = next(render)
    assert (first.index, first.total) == (0, job.steps)
    assert within_one_level(first.preview(), golden["first_preview"]) >= 0.999
    rendered = finish(render)
    assert within_one_level(rendered.pixels, golden["image"]) >= 0.999
    assert rendered.steps_s > 0
    assert rendered.decode_s > 0


def test_each_step_is_yielded_once_and_then_the_picture(pipeline: Pipeline) -> None:
    render = pipeline.render(JOB)
    assert [(step.index, step.total) for step in render] == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_equal_jobs_give_equal_pixels_drawn_alone_or_in_turns(pipeline: Pipeline) -> None:
    jobs = [JOB, replace(JOB, seed=4, sampler="euler"), golden_job(CASES["dev_flash"])]
    alone = [draw(pipeline, job) for job in jobs]
    renders = [pipeline.render(job) for job in jobs]
    in_turns: dict[int, Pixels] = {}
    while len(in_turns) < len(jobs):
        for i, render in enumerate(renders):
            if i not in in_turns:
                try:
                    next(render).preview()
                except StopIteration as stop:
                    in_turns[i] = stop.value.pixels
    assert all(np.array_equal(alone[i], in_turns[i]) for i in range(len(jobs)))


def test_a_second_process_draws_the_same_pixels(pipeline: Pipeline, golden_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "pixels.npy"
    subprocess.run(
        [sys.executable, "-c", DRAW_IN_ANOTHER_PROCESS, golden_checkpoint, json.dumps(JOB.to_dict()), out], check=True
    )
    assert np.array_equal(np.load(out), draw(pipeline, JOB))


def test_a_negative_prompt_changes_the_picture_only_where_guidance_uses_it(pipeline: Pipeline) -> None:
    negative = replace(JOB, negative_prompt="blurry")
    assert not np.array_equal(draw(pipeline, JOB), draw(pipeline, negative))
    assert np.array_equal(
        draw(pipeline, replace(JOB, guidance_scale=1.0)), draw(pipeline, replace(negative, guidance_scale=1.0))
    )
    assert np.array_equal(draw(pipeline, JOB), draw(pipeline, replace(JOB, negative_prompt="")))


@pytest.mark.parametrize(("guidance_scale", "forwards_a_step"), [(0.0, 1), (0.5, 1), (1.0, 1), (1.01, 2), (5.0, 2)])
def test_guidance_at_or_below_one_runs_one_forward_a_step(
    pipeline: Pipeline, guidance_scale: float, forwards_a_step: int
) -> None:
    branches: list[int] = []
    hook = pipeline._model.blocks[0].register_forward_hook(lambda _, inputs, __: branches.append(len(inputs[0])))
    with hook:
        draw(pipeline, replace(JOB, guidance_scale=guidance_scale))
    assert branches == [forwards_a_step] * JOB.steps


def test_keep_composition_at_strength_zero_is_the_draft(pipeline: Pipeline) -> None:
    draft = draw(pipeline, JOB)
    job = replace(JOB, finish_mode="keep-composition", strength=0.0)
    render = pipeline.render(job, init_image=draft)
    step = next(render)
    assert (step.index, step.total) == (0, 1)
    assert np.array_equal(step.preview(), draft)
    assert np.array_equal(finish(render).pixels, draft)


def test_keep_composition_at_strength_one_is_a_new_picture_of_the_seed(pipeline: Pipeline) -> None:
    draft = np.full((256, 256, 3), 200, np.uint8)
    job = replace(JOB, finish_mode="keep-composition", strength=1.0)
    assert np.array_equal(draw(pipeline, job, draft), draw(pipeline, JOB))


def test_keep_composition_takes_the_tail_alone(pipeline: Pipeline) -> None:
    job = replace(JOB, steps=20, finish_mode="keep-composition", strength=0.5)
    steps = list(pipeline.render(job, init_image=np.full((256, 256, 3), 90, np.uint8)))
    assert 0 < len(steps) < 12
    assert steps[-1].index + 1 == steps[-1].total == len(steps)


def test_a_draft_of_another_size_or_none_is_refused(pipeline: Pipeline) -> None:
    job = replace(JOB, finish_mode="keep-composition")
    with pytest.raises(RequestError, match="128×256 px; it must be 256×256"):
        next(pipeline.render(job, init_image=np.zeros((256, 128, 3), np.uint8)))
    with pytest.raises(RequestError, match="needs the draft's picture"):
        next(pipeline.render(job))


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_prompt_that_breaks_the_sequence_is_refused_before_any_work(
    pipeline: Pipeline, field: str, guidance_scale: float
) -> None:
    job = replace(JOB, **{field: "a <|vision_start|> cat"}, guidance_scale=guidance_scale)
    for refuse in (pipeline.check_prompt, lambda job: next(pipeline.render(job))):
        with pytest.raises(PromptError) as caught:
            refuse(job)
        assert caught.value.field == field
    assert len(draw(pipeline, JOB)) == 256  # and the next request is drawn


def test_linked_noise_at_the_buckets_own_size_draws_upstreams_picture(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_noise", NoiseAhead(((256, 256),)))
    assert np.array_equal(draw(pipeline, replace(JOB, noise="linked")), draw(pipeline, JOB))


def test_noise_that_was_drawn_ahead_is_the_jobs_own(pipeline: Pipeline) -> None:
    jobs = [replace(JOB, seed=seed, steps=1) for seed in (11, 12, 13)]
    expected = [draw(pipeline, job) for job in jobs]
    for job in jobs:
        pipeline.prepare(job)
        pipeline.prepare(job)
    assert all(np.array_equal(draw(pipeline, job), pixels) for job, pixels in zip(jobs, expected, strict=True))


def test_previews_can_be_decoded_in_any_order_and_later(pipeline: Pipeline) -> None:
    steps = list(pipeline.render(JOB))
    later = [step.preview() for step in reversed(steps)][::-1]
    assert all(np.array_equal(one, step.preview()) for one, step in zip(later, steps, strict=True))
    assert later[0].shape == (256, 256, 3)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", ""])
def test_a_device_that_is_not_supported_is_refused_by_name(golden_checkpoint: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=f"device '{device}' is not supported"):
        Pipeline.load(str(golden_checkpoint), device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_refused_by_name(golden_checkpoint: Path) -> None:
    with pytest.raises(DeviceError, match="torch finds no CUDA device"):
        Pipeline.load(str(golden_checkpoint), device="cuda:1")


def test_fp8_is_refused_where_there_is_none(golden_checkpoint: Path) -> None:
    with pytest.raises(DeviceError, match="fp8 needs an NVIDIA GPU, from Ampere on, not a CPU") as caught:
        Pipeline.load(str(golden_checkpoint), device="cpu", precision="fp8")
    assert caught.value.field == "precision"


def test_bf16_draws_on_a_cpu_too_and_says_so(golden_checkpoint: Path) -> None:
    pipeline = Pipeline.load(str(golden_checkpoint), device="cpu", precision="bf16")
    assert pipeline.numeric_path == "cpu-bf16-eager-sdpa"
    assert draw(pipeline, JOB).std() > 0


def test_a_profile_says_what_its_model_computes_in_unless_something_is_asked_for(
    golden_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(golden_checkpoint, tmp_path / "model")
    profile = json.loads((EMBEDDED_CHECKPOINT / "profile.json").read_text(encoding="utf-8"))
    assert profile["precision"] == "fp32"
    (tmp_path / "model" / "profile.json").write_text(json.dumps(profile | {"precision": "bf16"}), encoding="utf-8")
    assert Pipeline.load(str(tmp_path / "model"), device="cpu").numeric_path == "cpu-bf16-eager-sdpa"
    assert Pipeline.load(str(tmp_path / "model"), device="cpu", precision="fp32").numeric_path.startswith("cpu-fp32")


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        Pipeline.load(str(tmp_path), device="cpu")


def test_a_warmed_up_pipeline_draws_the_same(golden_checkpoint: Path, pipeline: Pipeline) -> None:
    warm = Pipeline.load(str(golden_checkpoint), device="cpu")
    warm.warm_up()
    assert np.array_equal(draw(warm, JOB), draw(pipeline, JOB))


def test_loading_tells_its_phases(golden_checkpoint: Path) -> None:
    phases: list[tuple[str, float | None]] = []
    Pipeline.load(str(golden_checkpoint), device="cpu", on_phase=lambda *phase: phases.append(phase))
    assert phases[0] == ("reading the checkpoint", None)
    assert phases[-1] == ("loading weights", 1.0)


def test_a_prompt_is_read_once_for_all_its_seeds_until_others_need_the_room() -> None:
    read: list[tuple[int, ...]] = []

    def encode(ids: tuple[int, ...]) -> TextPrefix:
        read.append(ids)
        tensor = torch.zeros(1, len(ids), 1, 1)
        return TextPrefix((tensor,), (tensor,))  # 8 bytes a token

    cache: TextCache[tuple[int, ...], TextPrefix] = TextCache(max_bytes=8 * 5)
    for ids in ((1, 2), (1, 2), (3, 4, 5), (1, 2), (6,)):
        cache.get(ids, encode)
    assert read == [(1, 2), (3, 4, 5), (6,)]
    assert (3, 4, 5) not in cache  # the least recently used
    cache.get(tuple(range(100)), encode)
    assert cache.nbytes == 800  # the newest stays, however large


def test_what_prompts_keep_is_known_before_they_are_read(pipeline: Pipeline) -> None:
    pipeline.free_memory()
    assert pipeline.kept_text_bytes == {}
    job = replace(JOB, prompt="measured", negative_prompt="blurry")
    foretold = pipeline.text_bytes(job)
    draw(pipeline, job)
    assert pipeline.kept_text_bytes == foretold
    assert len(foretold) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("when", ["from the first step on", "in the last step"])
def test_a_picture_without_numbers_fails_by_name_after_its_last_step(
    golden_checkpoint: Path, pipeline: Pipeline, value: float, when: str
) -> None:
    broken = Pipeline.load(str(golden_checkpoint), device="cpu")
    render = broken.render(JOB)
    if when == "in the last step":
        for _ in range(JOB.steps - 1):
            next(render)
    with torch.inference_mode():
        broken._model.patch_out.weight[:7].fill_(value)
    with pytest.raises(
        NumericError, match=r"256×256 in fp32 gave no picture: [\d.]+% of its values are NaN"
    ) as failure:
        finish(render)
    assert failure.value.code == "not_a_number"
    assert np.isfinite(draw(pipeline, JOB)).all()


def test_a_gpu_machine_needs_no_web_packages_to_draw() -> None:
    code = (
        "import sys, hidream_studio.engine.pipeline\n"
        "sys.exit(bool({'fastapi', 'nicegui', 'sqlalchemy', 'diffusers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
