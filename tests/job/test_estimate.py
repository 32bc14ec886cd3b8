"""The cost model: operations counted as the upstream model has them, seconds learned from runs, honest when unsure."""

from __future__ import annotations

import random

import pytest

from hidream_studio.errors import CheckpointError
from hidream_studio.job.estimate import CostKey, CostModel, CostSample, Speed
from hidream_studio.job.record import Timings
from hidream_studio.job.workload import SHAPE_8B, ModelShape, Workload, forward_flop, text_flop

H200 = CostKey("NVIDIA H200", "bf16", "cuda-bf16-fused-cudnn", "8b")
CPU = CostKey("cpu", "fp32", "cpu-fp32-eager-sdpa", "tiny")
TINY = ModelShape(layers=8, hidden=256, mlp=768, heads=4, kv_heads=2, head_dim=64)
PROMPT_TOKENS, BLANK_TOKENS = 40, 13


def tokens(side_px: int) -> int:
    return (side_px // 32) ** 2


def work(side_px: int, steps: int, *, cfg: bool = True) -> Workload:
    return Workload(tokens(side_px), steps, PROMPT_TOKENS, BLANK_TOKENS if cfg else None)


def run(
    speed: Speed, side_px: int, steps: int, *, cfg: bool = True, noise: float = 0.0, split: bool = True,
    rng: random.Random | None = None, key: CostKey = H200, shape: ModelShape = SHAPE_8B,
) -> CostSample:  # fmt: skip
    """A picture on a machine that obeys `speed`, times noise."""
    job = work(side_px, steps, cfg=cfg)
    factor = 1 + noise * (rng or random.Random(0)).uniform(-1, 1)
    steps_s = (job.forwards * speed.forward_s + job.steps_flop(shape) * speed.flop_s) * factor
    text_s = (job.forwards / steps) * (speed.forward_s + text_flop(shape, PROMPT_TOKENS) * speed.flop_s) * factor
    rest_s = (speed.base_s + speed.token_s * job.image_tokens) * factor
    timings = Timings(text_s=text_s, steps_s=steps_s, decode_s=rest_s / 3, png_s=rest_s * 2 / 3)
    return CostSample.of(key, job, elapsed_s=text_s + steps_s + rest_s, timings=timings if split else None)


GPU = Speed(base_s=0.05, token_s=4e-5, forward_s=1.4e-3, flop_s=1 / 605e12)


def test_the_linears_of_the_8b_model_take_13_9_gflop_a_token():
    per_token = (forward_flop(SHAPE_8B, 4096, 0) - attention_8b(4096, 0)) / 4096
    assert per_token == pytest.approx(13.9e9, rel=0.01)


def test_its_attention_takes_0_59_mflop_for_each_pair_of_tokens():
    """n image tokens attend to n + T: 4 FLOP for each of 36 layers * 32 heads * 128 (upstream config.json)."""
    more_text = forward_flop(SHAPE_8B, 4096, 500) - forward_flop(SHAPE_8B, 4096, 0)
    assert more_text / (4096 * 500) == pytest.approx(0.59e6, rel=0.01)


def attention_8b(image_tokens: int, text_tokens: int) -> float:
    return 0.59e6 * image_tokens * (image_tokens + text_tokens)


def test_the_shape_is_read_from_a_config():
    config = {
        "text_config": {
            "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128,
        }
    }  # fmt: skip
    assert ModelShape.from_config(config) == SHAPE_8B


def test_a_config_without_a_number_is_refused_by_the_keys_name():
    with pytest.raises(CheckpointError, match=r"text_config\.num_hidden_layers is None"):
        ModelShape.from_config({"text_config": {}})


def test_before_any_run_it_answers_with_a_wide_guess():
    prediction = CostModel(SHAPE_8B, H200).predict(work(2048, 50))
    assert 5 < prediction.seconds < 100
    assert prediction.low_s < prediction.seconds / 2 and prediction.high_s > prediction.seconds * 2
    assert prediction.samples == 0 and "guess" in prediction.basis


@pytest.mark.parametrize("split", [True, False], ids=["with timings", "with the whole alone"])
def test_fitted_on_two_sizes_it_predicts_the_third_within_5_percent(split):
    rng = random.Random(1)
    samples = [run(GPU, side, 20, noise=0.02, rng=rng, split=split) for side in (1024, 2048) for _ in range(3)]
    prediction = CostModel.fit(SHAPE_8B, H200, samples).predict(work(1536, 20))
    truth = run(GPU, 1536, 20).elapsed_s
    assert prediction.seconds == pytest.approx(truth, rel=0.05)
    assert prediction.low_s <= truth <= prediction.high_s


def test_attention_slower_than_linears_still_predicts_the_third_size_within_5_percent():
    """The floors of one H200: linears at 800 TFLOP/s, attention at 610, which one rate cannot tell apart."""

    def sample(side: int, steps: int) -> CostSample:
        job = work(side, steps)
        attention = sum(attention_8b(job.image_tokens, text) for text in (PROMPT_TOKENS, BLANK_TOKENS))
        linears = 2 * 13.9e9 * job.image_tokens
        steps_s = steps * (0.003 + linears / 800e12 + attention / 610e12)
        timings = Timings(text_s=0.02, steps_s=steps_s, decode_s=0.01, png_s=4e-5 * job.image_tokens)
        return CostSample.of(H200, job, elapsed_s=timings.elapsed_s, timings=timings)

    model = CostModel.fit(SHAPE_8B, H200, [sample(1024, 20), sample(2048, 20)])
    assert model.predict(work(1536, 20)).seconds == pytest.approx(sample(1536, 20).elapsed_s, rel=0.05)
    assert model.predict(work(2048, 50)).seconds == pytest.approx(sample(2048, 50).elapsed_s, rel=0.05)


@pytest.mark.parametrize(
    ("precision", "step_ms"),
    [("bf16", {1024: 51.407, 1536: 121.327, 2048: 228.678}), ("fp8", {1024: 35.868, 1536: 81.800, 2048: 156.244})],
)
def test_steps_measured_on_an_h200_at_1024_and_2048_predict_those_at_1536_within_5_percent(precision, step_ms):
    """Steps with guidance of the 8B shape, as benchmarks/step_time.py measured them."""
    key = CostKey("NVIDIA H200", precision, "fused", "random")

    def sample(side: int) -> CostSample:
        job = work(side, 20)
        timings = Timings(steps_s=20 * step_ms[side] / 1000, decode_s=0.01, png_s=2e-5 * job.image_tokens)
        return CostSample.of(key, job, elapsed_s=timings.elapsed_s, timings=timings)

    model = CostModel.fit(SHAPE_8B, key, [sample(1024), sample(2048)])
    assert model.predict(work(1536, 20), text_kept=True).seconds == pytest.approx(sample(1536).elapsed_s, rel=0.05)


def test_the_fitted_numbers_are_those_of_the_machine():
    samples = [
        run(GPU, side, steps, cfg=cfg) for side in (512, 1024, 1536, 2048) for steps in (8, 30) for cfg in (0, 1)
    ]
    speed = CostModel.fit(SHAPE_8B, H200, samples).speed
    assert speed.flops == pytest.approx(605e12, rel=0.03)
    assert speed.forward_s == pytest.approx(GPU.forward_s, rel=0.2)


def test_without_guidance_a_picture_takes_half():
    model = CostModel.fit(SHAPE_8B, H200, [run(GPU, 1024, 20), run(GPU, 2048, 20)])
    ratio = model.predict(work(2048, 28, cfg=False)).seconds / model.predict(work(2048, 28)).seconds
    assert 0.50 <= ratio <= 0.55


def test_one_run_alone_corrects_the_guess_at_every_size():
    slow = Speed(base_s=0.2, token_s=1e-4, forward_s=4e-3, flop_s=1 / 100e12)
    model = CostModel.fit(SHAPE_8B, H200, [run(slow, 1024, 24)])
    assert model.predict(work(1024, 24)).seconds == pytest.approx(run(slow, 1024, 24).elapsed_s, rel=0.05)
    assert model.predict(work(2048, 50)).seconds == pytest.approx(run(slow, 2048, 50).elapsed_s, rel=0.2)


def test_a_first_picture_that_waited_for_a_compiler_does_not_spoil_the_others():
    first = CostSample(**{**run(GPU, 1024, 20).to_dict(), "elapsed_s": 60.0, "steps_s": 59.0})
    model = CostModel.fit(SHAPE_8B, H200, [first, *(run(GPU, 1024, 20) for _ in range(4))])
    assert model.predict(work(1024, 20)).seconds == pytest.approx(run(GPU, 1024, 20).elapsed_s, rel=0.1)


def test_a_machine_that_became_slower_is_believed_after_some_pictures():
    throttled = Speed(GPU.base_s, GPU.token_s, GPU.forward_s * 1.5, GPU.flop_s * 1.5)
    model = CostModel(SHAPE_8B, H200, [run(GPU, 1024, 20) for _ in range(40)])
    for _ in range(40):
        model.add(run(throttled, 1024, 20))
    assert model.predict(work(1024, 20)).seconds == pytest.approx(run(throttled, 1024, 20).elapsed_s, rel=0.05)


def test_a_hundred_drafts_do_not_push_the_one_final_out_of_memory():
    model = CostModel(SHAPE_8B, H200, [run(GPU, 2048, 50)])
    for _ in range(300):
        model.add(run(GPU, 256, 8))
    assert "none near this size" not in model.predict(work(2048, 50)).basis


def test_a_size_far_from_every_measured_one_is_said_to_be_less_certain():
    model = CostModel(SHAPE_8B, H200, [run(GPU, 1024, 20) for _ in range(10)])
    near, far = model.predict(work(1024, 20)), model.predict(work(2048, 20))
    assert far.high_s / far.seconds > near.high_s / near.seconds
    assert "none near this size" in far.basis


def test_runs_of_another_machine_or_model_teach_nothing():
    model = CostModel(SHAPE_8B, H200, [run(GPU, 1024, 20, key=CPU)])
    assert model.predict(work(1024, 20)).samples == 0


def test_text_kept_from_the_last_picture_costs_nothing_again():
    model = CostModel(SHAPE_8B, H200, [run(GPU, 1024, 20), run(GPU, 2048, 20)])
    long = Workload(tokens(1024), 1, 3000, BLANK_TOKENS)
    assert model.predict(long, text_kept=True).seconds < 0.7 * model.predict(long).seconds


def test_most_noisy_cpu_runs_fall_within_the_predicted_range():
    cpu = Speed(base_s=0.02, token_s=3e-5, forward_s=2e-3, flop_s=1 / 80e9)
    settings = [(256, 8), (256, 24), (384, 28), (512, 36), (512, 50)]
    inside = 0
    for seed in range(8):
        rng = random.Random(seed)

        def noisy(side: int, steps: int, rng: random.Random = rng) -> CostSample:
            return run(cpu, side, steps, noise=0.25, rng=rng, key=CPU, shape=TINY)

        model = CostModel(TINY, CPU, [noisy(*setting) for setting in settings * 6])
        for setting in settings * 10:
            prediction = model.predict(work(*setting))
            inside += prediction.low_s <= noisy(*setting).elapsed_s <= prediction.high_s
    assert inside / (8 * 50) >= 0.85


def test_a_sample_survives_the_way_through_a_database_row():
    sample = run(GPU, 1024, 20)
    assert CostSample.from_dict({**sample.to_dict(), "id": 7, "created_at": "2026-01-01T00:00:00Z"}) == sample
