"""`python3 -m o1_tiny.training`: the whole model in one command. Wires the parts, keeps time, writes log and files."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    begin = time.monotonic()
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    rank = int(os.environ.get("RANK", "0"))  # of several processes, one a GPU: see team.py

    def say(text: str) -> None:
        if rank == 0:
            print(f"[{time.monotonic() - begin:6.1f} s] {text}", file=sys.stderr, flush=True)

    from o1_tiny.training.pool import SceneStream
    from o1_tiny.training.tokenizer import build_tokenizer, vocabulary_size

    tokenizer = build_tokenizer()
    stream = SceneStream(
        tokenizer, options.seed + 100 * rank, options.processes
    )  # starts to draw while torch is imported
    try:
        return _train(options, tokenizer, vocabulary_size(tokenizer), stream, begin, say)
    finally:
        stream.close()


def _train(options, tokenizer, vocabulary, stream, begin, say) -> int:  # type: ignore[no-untyped-def]
    import torch

    from o1_tiny.training.export import save_frame
    from o1_tiny.training.loop import Trainer
    from o1_tiny.training.pool import ScenePool
    from o1_tiny.training.recipe import SIZES, TINY, Recipe, changed, continued
    from o1_tiny.training.team import Team
    from o1_tiny.training.tokenizer import encode

    team = Team.of_environment()
    torch.manual_seed(options.seed + 100 * team.rank)
    device = team.device()
    recipe = TINY if options.tiny else Recipe()
    if options.start is not None:
        recipe = continued(recipe)
    recipe = changed(recipe, options.recipe)
    sizes = ((8, 8), (10, 12), (9, 8)) if options.tiny else SIZES
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    say(f"torch {torch.__version__} on {team.count} × {name}")
    pool = ScenePool(recipe.pool_scenes, device)
    while pool.scenes_seen < recipe.pool_scenes:
        pool.add(stream.take())
    say(f"{pool.scenes_seen:,} scenes drawn")
    model = _model(options, recipe.config(vocabulary), pool, device)
    say(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters start from {options.start or 'a PCA'}")
    if team.leads:
        save_frame(model.config, tokenizer, options.out)
    unconditional = encode(tokenizer, [" "])[0]
    trainer = _ready(Trainer, model, recipe, pool, unconditional, sizes, options, team, say)
    if options.profile:
        _profile(trainer, sizes, say)
    team.join(parameter.data for parameter in model.parameters())
    say(f"{team.count} processes have met")
    seconds = max(options.minutes * 60 - (time.monotonic() - begin) - options.reserve_s, 5.0)
    say(f"{seconds:.0f} s of training follow")
    _follow(trainer, stream, sizes, seconds, options, say)
    if team.leads:
        _finish(model, trainer.average.weights, tokenizer, options, say)
    team.leave()
    return 0


def _finish(model, averaged, tokenizer, options, say):  # type: ignore[no-untyped-def]
    """Keep what was trained, then measure it: the time that this command was given is over."""
    from o1_tiny.training.export import export
    from o1_tiny.training.validation import SCENES, Validation

    export(model, averaged, options.out)
    say(f"exported to {options.out}")
    for parameter, value in zip(model.parameters(), averaged, strict=True):
        parameter.data.copy_(value)
    found = Validation(tokenizer, model.device, 4 if options.tiny else SCENES).errors(model)
    say("errors on held-out scenes: " + ", ".join(f"{name} {error:.5f}" for name, error in found.items()))


def _model(options, config, pool, device):  # type: ignore[no-untyped-def]
    """Fresh weights, or those of a checkpoint to go on from."""
    import torch

    from hidream_studio.model.checkpoint import open_checkpoint
    from hidream_studio.model.transformer import O1Transformer
    from hidream_studio.model.weights import load_model
    from o1_tiny.training.render import Tables, render_patches
    from o1_tiny.training.trainee import start_weights

    if options.start is not None:
        model = load_model(open_checkpoint(str(options.start)), device, torch.float32).requires_grad_(True)
        if model.config != config:
            raise SystemExit(f"{options.start} has another shape or vocabulary: {model.config}, not {config}")
        return model
    model = O1Transformer(config).to(device)
    tables, scenes = Tables.on(device), 4 if options.tiny else 256
    # as many patches of small pictures as of large ones
    parts = [(pool.values[: 4 * scenes], 8), (pool.values[:scenes], 16)]
    sample = torch.cat([render_patches(values, side, side, tables).flatten(0, 1) for values, side in parts])
    start_weights(model, sample, options.seed)
    return model


def _ready(kind, model, recipe, pool, unconditional, sizes, options, team, say):  # type: ignore[no-untyped-def]
    """A trainer that runs: compiled and captured where that works, plainer where it does not."""
    import traceback

    import torch
    import torch._inductor.config as inductor

    start = [parameter.detach().clone() for parameter in model.parameters()]
    # of torch 2.11: asserts that differently written products of symbolic sizes have equal hints, which they lack
    inductor.triton.coalesce_tiling_analysis = False
    plans = [(True, True), (True, False), (False, False)] if model.device.type == "cuda" else [(options.compile, False)]
    for compiled, graphs in plans:
        for parameter, value in zip(model.parameters(), start, strict=True):
            parameter.data.copy_(value)
            parameter.grad = None
        trainer = kind(model, recipe, pool, unconditional, compiled=compiled, graphs=graphs, team=team)
        try:
            trainer.warm_up(_compile_order(sizes), say)
        except Exception:  # a plainer way remains, or the last one's own error is raised
            if (compiled, graphs) == plans[-1]:
                raise
            say(f"compiled={compiled}, graphs={graphs} failed:\n{traceback.format_exc()}")
            torch._dynamo.reset()
            continue
        say(f"ready: compiled={compiled}, graphs={graphs}")
        return trainer
    raise AssertionError("unreachable")


def _profile(trainer, sizes, say):  # type: ignore[no-untyped-def]
    """How long a micro-step of each size takes, and what the device does in one of the largest."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    def wait() -> None:
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()

    for work, name, repeats in [
        *((lambda size=size: trainer.micro_step(size), f"{size[0] * 32}x{size[1] * 32}", 10) for size in sizes),
        (trainer.optimizer_step, "optimizer", 10),
    ]:
        wait()
        start = time.monotonic()
        for _ in range(repeats):
            work()
        wait()
        say(f"{name}: {(time.monotonic() - start) / repeats * 1e3:.2f} ms")
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(3):
            trainer.micro_step(max(sizes, key=lambda size: size[0] * size[1]))
        trainer.optimizer_step()
        wait()
    say(seen.key_averages().table(sort_by="self_device_time_total", row_limit=32, max_name_column_width=70))
    trainer.optimizer.forget()
    trainer.loss_sum.zero_()


def _compile_order(sizes):  # type: ignore[no-untyped-def]
    """The largest first, then one that differs from it in every dimension: two compilations serve all sizes."""
    by_area = sorted(sizes, key=lambda size: (-size[0] * size[1], abs(size[0] - size[1])))
    oblong = next(size for size in by_area if size[0] != size[1] and not set(size) & set(by_area[0]))
    return (by_area[0], oblong, *(size for size in by_area[1:] if size != oblong))


def _follow(trainer, stream, sizes, seconds, options, say):  # type: ignore[no-untyped-def]
    """Train, with a line of log every hundred steps and a checkpoint every minute and a half."""
    from dataclasses import asdict

    from o1_tiny.training.export import export

    saved = time.monotonic()
    if not trainer.team.leads:
        for _ in trainer.train(stream, sizes, seconds, options.seed, report_every=options.report_every):
            pass
        return
    with (options.out / "log.csv").open("w", newline="", encoding="utf-8") as file:
        writer = None
        progress = None
        for progress in trainer.train(stream, sizes, seconds, options.seed, report_every=options.report_every):
            row = asdict(progress)
            if writer is None:
                writer = csv.DictWriter(file, row.keys())
                writer.writeheader()
            writer.writerow({key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()})
            file.flush()
            if progress.step % (options.report_every * 5) == 0 or progress.share >= 1:
                rate = progress.image_tokens / progress.elapsed_s
                say(f"{progress.share:4.0%} step {progress.step} loss {progress.loss:.4f} {rate / 1e6:.2f} M tokens/s, "
                    f"{progress.pictures:,} pictures, {progress.scenes:,} scenes")  # fmt: skip
            sound = progress.loss < 1e4  # and no NaN
            if not sound:
                say(f"the loss is {progress.loss} at step {progress.step}")
            if sound and time.monotonic() - saved > 90 and progress.share < 0.97:
                export(trainer.model, trainer.average.weights, options.out)
                saved = time.monotonic()
    if progress is not None:
        facts = {**asdict(progress), "seed": options.seed, "seconds": seconds, "torch": __import__("torch").__version__}
        (options.out / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that the checkpoint and the log go to")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="all in all, from the start of this command to its end"
    )
    parser.add_argument("--reserve-s", type=float, default=6.0, help="kept back for the export")
    parser.add_argument("--from", dest="start", type=Path, help="a checkpoint to go on from, at falling rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=12, help="CPU processes that draw scenes, for each GPU")
    parser.add_argument("--report-every", type=int, default=100, help="steps between lines of the log")
    parser.add_argument("--profile", action="store_true", help="tell what a step spends its time on, first")
    parser.add_argument(
        "--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="other numbers than recipe.py's: hidden_size=320"
    )
    parser.add_argument("--tiny", action="store_true", help="a toy model and toy batches: to try the code on a CPU")
    parser.add_argument("--compile", action="store_true", help="torch.compile on a CPU as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
