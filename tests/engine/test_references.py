"""Pictures as input: upstream's pictures out of them, read once, whatever else is drawn at the same time."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from hidream_studio.engine.pipeline import Pipeline, Rendered
from hidream_studio.errors import CheckpointError, PromptError
from hidream_studio.image.references import PreparedPicture, prepare
from hidream_studio.job.job import Job
from hidream_studio.model.patches import from_uint8

GOLDEN = Path(__file__).parents[1] / "data" / "golden_ref"
CASES = json.loads((GOLDEN / "cases.json").read_text(encoding="utf-8"))
SAMPLERS = {"default": "unipc", "flow_match": "flow_match", "flash": "flash"}
KEPT = 5  # of so many target tokens, the files hold one
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(str(GOLDEN / "checkpoint"), device="cpu")


def case_job(name: str) -> Job:
    case = CASES[name]
    width, height = case["output"]
    return Job(
        prompt=case["prompt"], negative_prompt=None, seed=case["seed"], width=width, height=height,
        steps=case["steps"], guidance_scale=case["guidance"], recipe="dev" if case.get("dev_timesteps") else "full",
        sampler=SAMPLERS[case["scheduler"]], shift=case["shift"], noise_scale=case["noise_scale"], noise="upstream",
        profile="hidream-o1-image", requested_width=width, requested_height=height, snap_resolution=False,
    )  # fmt: skip


def case_references(name: str) -> tuple[PreparedPicture, ...]:
    case = CASES[name]
    pictures = [Image.open(GOLDEN / "pictures" / file).convert("RGB") for file in case["references"]]
    kept_side = case["keep_aspect_size"] if case.get("keep_original_aspect") else None
    return prepare(pictures, *case["output"], layout=case.get("layout"), kept_side=kept_side)


JOB = replace(case_job("edit_one"), width=128, height=128, steps=3)


def references(*files: str, side: int = 128) -> tuple[PreparedPicture, ...]:
    return prepare([Image.open(GOLDEN / "pictures" / file).convert("RGB") for file in files], side, side)


def draw(pipeline: Pipeline, job: Job, pictures: Sequence[PreparedPicture]) -> Rendered:
    render = pipeline.render(job, references=pictures)
    while True:
        try:
            next(render)
        except StopIteration as stop:
            return stop.value


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_picture_is_upstreams(pipeline: Pipeline, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_file(GOLDEN / f"{name}.safetensors")
    predicted: list[torch.Tensor] = []
    forward = pipeline._model.forward_branches

    def keep(*arguments: object) -> torch.Tensor:
        predicted.append(forward(*arguments))
        return predicted[-1]

    monkeypatch.setattr(pipeline._model, "forward_branches", keep)
    states: list[torch.Tensor] = []
    monkeypatch.setattr(
        "hidream_studio.engine.pipeline.to_uint8", lambda z, *size: states.append(z) or np.zeros((*size, 3), np.uint8)
    )
    draw(pipeline, case_job(name), case_references(name))
    for branch, which in zip(predicted[0], ("cond", "uncond"), strict=False):
        assert relative_error(branch[None, ::KEPT], expected[f"{which}.x_pred_first"]) < 1e-5
    assert len(predicted[0]) == 1 + ("uncond.x_pred_first" in expected)
    assert relative_error(states[-1][:, ::KEPT], expected["final"]) < 1e-4


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_png_is_upstreams(pipeline: Pipeline, name: str) -> None:
    expected = np.asarray(Image.open(GOLDEN / f"{name}.png"), dtype=int)
    found = draw(pipeline, case_job(name), case_references(name)).pixels
    assert (np.abs(found.astype(int) - expected) <= 1).mean() >= 0.999


def test_pictures_are_read_once_for_all_prompts_branches_and_seeds(pipeline: Pipeline) -> None:
    pipeline.free_memory()
    seen: list[int] = []
    draw(pipeline, JOB, references("square.png"))  # the tower is there from now on
    pipeline.free_memory()
    with pipeline._pictures._tower.register_forward_hook(lambda *_: seen.append(1)):
        for job in (JOB, replace(JOB, seed=5), replace(JOB, prompt="another"), replace(JOB, negative_prompt="blur")):
            draw(pipeline, job, references("square.png"))
        assert len(seen) == 1
        draw(pipeline, JOB, references("wide.png"))
    assert len(seen) == 2


def test_what_was_read_of_pictures_does_not_keep_their_pixels(pipeline: Pipeline) -> None:
    pictures = references("square.png")
    pixels = weakref.ref(pictures[0].pixels)
    draw(pipeline, JOB, pictures)
    assert pipeline.kept_text_bytes
    del pictures
    gc.collect()
    assert pixels() is None


def test_what_pictures_and_prompts_keep_is_foretold(pipeline: Pipeline) -> None:
    pipeline.free_memory()
    pictures = references("square.png", "tall.png")
    foretold = pipeline.text_bytes(JOB, pictures)
    draw(pipeline, JOB, pictures)
    assert pipeline.kept_text_bytes == foretold
    assert len(foretold) == 3  # the pictures, and two prompts beside them
    draw(pipeline, replace(JOB, seed=9), pictures)
    assert pipeline.kept_text_bytes == foretold


def test_a_picture_that_was_read_before_gives_the_same_pixels(pipeline: Pipeline) -> None:
    pictures = references("square.png", "face.png")
    pipeline.free_memory()
    first = draw(pipeline, JOB, pictures).pixels
    draw(pipeline, replace(JOB, prompt="something else"), pictures)
    assert np.array_equal(draw(pipeline, JOB, pictures).pixels, first)
    pipeline.free_memory()
    draw(pipeline, replace(JOB, prompt="something else"), pictures)  # which reads the pictures for both
    assert np.array_equal(draw(pipeline, JOB, pictures).pixels, first)


def test_order_and_pixels_of_the_pictures_matter(pipeline: Pipeline) -> None:
    one = draw(pipeline, JOB, references("square.png", "face.png")).pixels
    assert not np.array_equal(one, draw(pipeline, JOB, references("face.png", "square.png")).pixels)
    assert not np.array_equal(one, draw(pipeline, JOB, references("square.png", "hat.png")).pixels)
    assert not np.array_equal(one, draw(pipeline, JOB, ()).pixels)


def test_jobs_with_different_pictures_drawn_in_turns_are_as_alone(pipeline: Pipeline) -> None:
    asked = [
        (JOB, references("square.png")),
        (replace(JOB, seed=4, guidance_scale=1.0), references("face.png", "coat.png")),
        (replace(JOB, seed=5), ()),
        (replace(JOB, recipe="dev", sampler="flow_match", steps=28, guidance_scale=0.0), references("square.png")),
    ]
    alone = [draw(pipeline, job, pictures).pixels for job, pictures in asked]
    pipeline.free_memory()
    renders = [pipeline.render(job, references=pictures) for job, pictures in asked]
    in_turns: dict[int, Pixels] = {}
    while len(in_turns) < len(asked):
        for i, render in enumerate(renders):
            if i not in in_turns:
                try:
                    next(render).preview()
                except StopIteration as stop:
                    in_turns[i] = stop.value.pixels
    assert all(np.array_equal(alone[i], in_turns[i]) for i in range(len(asked)))


def test_an_edit_that_is_cancelled_midway_leaves_nothing_behind(pipeline: Pipeline) -> None:
    expected = draw(pipeline, JOB, references("square.png")).pixels
    render = pipeline.render(JOB, references=references("square.png"))
    assert next(render).preview().shape == (128, 128, 3)
    render.close()
    assert np.array_equal(draw(pipeline, JOB, references("square.png")).pixels, expected)


def test_the_tower_takes_no_memory_before_the_first_picture() -> None:
    fresh = Pipeline.load(str(GOLDEN / "checkpoint"), device="cpu")
    draw(fresh, JOB, ())
    assert fresh._pictures.tower_bytes == 0
    draw(fresh, JOB, references("square.png"))
    assert fresh._pictures.tower_bytes > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_tower_goes_back_to_the_host_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline.load(str(GOLDEN / "checkpoint"), device="cuda", precision="fp32")
    expected = draw(pipeline, JOB, references("square.png")).pixels
    assert pipeline._pictures.tower_bytes > 0
    pipeline.free_memory()
    assert pipeline._pictures.tower_bytes == 0
    monkeypatch.setattr("hidream_studio.engine.pictures.TOWER_STAYS_BYTES", 2**60)
    for _ in range(2):  # from the host, there, and back again
        assert np.array_equal(draw(pipeline, JOB, references("square.png")).pixels, expected)
        draw(pipeline, JOB, references("wide.png"))
        assert pipeline._pictures.tower_bytes == 0


def test_keep_composition_takes_pictures_too(pipeline: Pipeline) -> None:
    draft = np.full((128, 128, 3), 90, np.uint8)
    job = replace(JOB, finish_mode="keep-composition", strength=0.0)
    render = pipeline.render(job, init_image=draft, references=references("square.png"))
    assert next(render).total == 1
    assert np.array_equal(next(render, None) or draft, draft)


def test_a_checkpoint_without_a_tower_says_so_and_draws_from_words(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "checkpoint", tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    save_file({key: value for key, value in weights.items() if "visual" not in key}, folder / "model.safetensors")
    blind = Pipeline.load(str(folder), device="cpu")
    for refuse in (blind.check_prompt, lambda job, pictures: draw(blind, job, pictures)):
        with pytest.raises(CheckpointError, match="has no vision tower"):
            refuse(JOB, references("square.png"))
    assert len(draw(blind, JOB, ()).pixels) == 128


@pytest.mark.parametrize(
    ("key", "change", "told"),
    [
        ("model.visual.merger.norm.bias", None, "is missing in"),
        ("model.visual.blocks.1.attn.proj.weight", torch.zeros(2, 2), "has shape"),
        ("model.visual.more.weight", torch.zeros(1), "is unexpected"),
    ],
)
def test_a_broken_tower_is_named_when_it_is_needed(
    tmp_path: Path, key: str, change: torch.Tensor | None, told: str
) -> None:
    folder = Path(shutil.copytree(GOLDEN / "checkpoint", tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    weights.pop(key, None)
    save_file(weights if change is None else weights | {key: change}, folder / "model.safetensors")
    broken = Pipeline.load(str(folder), device="cpu")
    assert len(draw(broken, JOB, ()).pixels) == 128
    with pytest.raises(CheckpointError, match=f"{key} .*{told}"):
        draw(broken, JOB, references("square.png"))


def test_a_checkpoint_without_its_processors_file_says_so(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "checkpoint", tmp_path / "model"))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no preprocessor_config\.json"):
        draw(Pipeline.load(str(folder), device="cpu"), JOB, references("square.png"))


@pytest.mark.parametrize("token", ["<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_end|>"])
def test_a_prompt_that_spells_a_picture_is_refused(pipeline: Pipeline, token: str) -> None:
    with pytest.raises(PromptError, match="must not hold the model's own token"):
        draw(pipeline, replace(JOB, prompt=f"a {token} cat"), references("square.png"))


def test_bf16_reads_pictures_too() -> None:
    pipeline = Pipeline.load(str(GOLDEN / "checkpoint"), device="cpu", precision="bf16")
    assert draw(pipeline, JOB, references("square.png")).pixels.std() > 0


def test_reference_patches_lie_between_minus_one_and_one() -> None:
    patches = from_uint8(references("square.png")[0].pixels)
    assert -1 <= float(patches.min()) < float(patches.max()) <= 1
