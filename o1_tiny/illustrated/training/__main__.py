"""`python3 -m o1_tiny.illustrated.training`: the whole model, in one call or in several on one machine."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path

STATE = "state.pt"  # what a later call goes on from
FIRST_COPIES = 4  # of each shard that the pools begin with: training need not wait for more


def main(arguments: list[str] | None = None) -> int:
    begin = time.monotonic()
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:6.1f} s] {text}", file=sys.stderr, flush=True)

    from o1_tiny.illustrated.training.stream import Stream
    from o1_tiny.illustrated.training.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    seed = options.seed + (1 if options.resume else 0) * 7919
    stream = Stream(tokenizer, seed, options.processes)  # starts to draw while torch is imported
    try:
        return _train(options, tokenizer, stream, begin, say)
    finally:
        stream.close()


def _train(options, tokenizer, stream, begin, say) -> int:  # type: ignore[no-untyped-def]
    import torch

    from hidream_studio.model.transformer import O1Transformer
    from o1_tiny.illustrated.training import recipe as plan
    from o1_tiny.illustrated.training.export import save_frame
    from o1_tiny.illustrated.training.stream import Pool
    from o1_tiny.illustrated.training.tokenizer import vocabulary_size
    from o1_tiny.illustrated.training.tower import Tower

    torch.manual_seed(options.seed + 7919 * options.resume)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = plan.changed(plan.TINY if options.tiny else plan.Recipe(), options.recipe)
    drawn, edited = (plan.TINY_DRAWN, plan.TINY_EDITED) if options.tiny else (plan.DRAWN, plan.EDITED)
    say(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device.type == 'cuda' else 'a CPU'}")
    pools = {"scenes": Pool("scenes", recipe.pool_scenes, device), "edits": Pool("edits", recipe.pool_edits, device)}
    while any(pool.rows_seen < pool.capacity for pool in pools.values()):
        shard = stream.take()
        for _ in range(FIRST_COPIES):
            pools[shard.kind].add(shard)
    say(f"{pools['scenes'].rows_seen:,} scenes and {pools['edits'].rows_seen:,} edits, each {FIRST_COPIES} times")
    model = O1Transformer(recipe.config(vocabulary_size(tokenizer))).to(device)
    tower = Tower(recipe.tower, recipe.hidden_size).to(device)
    _start(model, pools["scenes"], options)
    numbers = sum(p.numel() for p in (*model.parameters(), *tower.parameters()))
    seeing = sum(p.numel() for p in tower.parameters())
    say(f"{numbers / 1e6:.2f} M parameters, {seeing / 1e6:.2f} M of them see; {numbers * 2 / 1e6:.1f} MB")
    save_frame(model.config, tower, tokenizer, options.out)
    trainer = _ready(model, tower, recipe, pools, tokenizer, (*drawn, *edited), options, say)
    if options.resume:
        trainer.restore(torch.load(options.out / STATE, map_location=device, weights_only=True))
        say(f"goes on from step {trainer.step}, {trainer.seconds:.0f} s of training")
    if options.profile:
        _profile(trainer, (*drawn, *edited), say)
    until = begin + options.call_minutes * 60 - options.reserve_s
    _follow(trainer, stream, drawn, edited, until, options, say)
    return 0


def _start(model, pool, options):  # type: ignore[no-untyped-def]
    """Fresh weights, from a PCA of rendered patches."""
    import torch

    from o1_tiny.illustrated.batch import draw_patches
    from o1_tiny.illustrated.training.trainee import start_weights

    # as many patches of small pictures as of large ones
    sizes = ((8, 2), (8, 3)) if options.tiny else ((1024, 8), (256, 16))
    sample = [
        draw_patches(pool.parts, pool.counts, pool.waters, torch.arange(count, device=model.device), side, side)[0]
        for count, side in sizes
    ]
    start_weights(model, torch.cat([patches.flatten(0, 1) for patches in sample]), options.seed)


def _ready(model, tower, recipe, pools, tokenizer, modes, options, say):  # type: ignore[no-untyped-def]
    """A trainer that runs: compiled and captured where that works, plainer where it does not."""
    import traceback

    import torch
    import torch._inductor.config as inductor

    from o1_tiny.illustrated.training.loop import Trainer
    from o1_tiny.illustrated.training.tokenizer import encode

    start = [parameter.detach().clone() for parameter in (*model.parameters(), *tower.parameters())]
    # of torch 2.11: asserts that differently written products of symbolic sizes have equal hints, which they lack
    inductor.triton.coalesce_tiling_analysis = False
    plans = [(True, True), (False, True), (True, False), (False, False)]
    if model.device.type != "cuda":
        plans = [(options.compile, False)]
    elif options.plain:
        plans = plans[1:]
    unconditional = encode(tokenizer, [" "])[0]
    ids = tuple(tokenizer.token_to_id(f"<|{name}|>") for name in ("vision_start", "image_pad", "vision_end"))
    for compiled, graphs in plans:
        for parameter, value in zip((*model.parameters(), *tower.parameters()), start, strict=True):
            parameter.data.copy_(value)
            parameter.grad = None
        trainer = Trainer(model, tower, recipe, pools, unconditional, ids, modes, compiled=compiled, graphs=graphs)
        try:
            trainer.warm_up(_compile_order(modes), say)
        except Exception:  # a plainer way remains, or the last one's own error is raised
            if (compiled, graphs) == plans[-1]:
                raise
            say(f"compiled={compiled}, graphs={graphs} failed:\n{traceback.format_exc()}")
            torch._dynamo.reset()
            continue
        say(f"ready: compiled={compiled}, graphs={graphs}")
        return trainer
    raise AssertionError("unreachable")


def _compile_order(modes):  # type: ignore[no-untyped-def]
    """First the largest, then one that differs from it in every dimension: few compilations serve all."""
    by_area = sorted(modes, key=lambda mode: (bool(mode.references), -mode.own_tokens))
    oblong = next((mode for mode in by_area if not set(mode.grid) & set(by_area[0].grid)), by_area[-1])
    edit = next(mode for mode in by_area if mode.references)
    first = (by_area[0], oblong, edit)
    return (*first, *(mode for mode in by_area if mode not in first))


def _profile(trainer, modes, say):  # type: ignore[no-untyped-def]
    """How long a micro-step of each mode takes."""
    import torch

    for work, name in [
        *((lambda mode=mode: trainer.micro_step(mode), str(mode)) for mode in modes),
        (trainer.optimizer_step, "optimizer"),
    ]:
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.monotonic()
        for _ in range(10):
            work()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        say(f"{name}: {(time.monotonic() - start) * 100:.2f} ms")
    trainer.optimizer.gradient.zero_()
    trainer.loss_sums.zero_()


def _follow(trainer, stream, drawn, edited, until, options, say):  # type: ignore[no-untyped-def]
    """Train, with a line of log now and then, and keep what a later call needs."""
    from dataclasses import asdict

    import torch

    from o1_tiny.illustrated.training.export import export

    log, progress, exported = options.out / "log.csv", None, time.monotonic()
    fresh = not (options.resume and log.exists())
    with log.open("w" if fresh else "a", newline="", encoding="utf-8") as file:
        writer = None
        for progress in trainer.train(
            stream,
            drawn,
            edited,
            options.minutes * 60,
            until,
            options.seed,
            report_every=options.report_every,
            max_steps=options.max_steps,
        ):
            row = asdict(progress)
            if writer is None:
                writer = csv.DictWriter(file, row.keys())
                if fresh:
                    writer.writeheader()
            writer.writerow({key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()})
            file.flush()
            if progress.step % (options.report_every * 5) == 0 or progress.share >= 1:
                rate = progress.image_tokens / progress.elapsed_s
                losses = f"loss {progress.loss:.4f}, edits {progress.edit_loss:.4f}"
                done = f"{progress.pictures:,} pictures, {progress.scenes:,} rows"
                say(f"{progress.share:4.0%} step {progress.step} {losses}, {rate / 1e6:.2f} M tokens/s, {done}")
            if not progress.loss < 1e4:
                say(f"the loss is {progress.loss} at step {progress.step}: stopped; the state before it is kept")
                return
            if time.monotonic() - exported > 120 and progress.share < 0.97:
                _keep(trainer, options, export, torch)
                exported = time.monotonic()
    _keep(trainer, options, export, torch)
    if progress is not None:
        facts = {**asdict(progress), "seed": options.seed, "minutes": options.minutes, "torch": torch.__version__}
        (options.out / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        say(
            f"{progress.share:.1%} of the training is done; exported to {options.out}"
            + ("" if progress.share >= 1 else "; go on with --resume")
        )


def _keep(trainer, options, export, torch):  # type: ignore[no-untyped-def]
    export(trainer.model, trainer.tower, trainer.average.weights, options.out)
    torch.save(trainer.state(), options.out / f"{STATE}.part")
    (options.out / f"{STATE}.part").replace(options.out / STATE)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.illustrated.training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that checkpoint, log and state go to")
    parser.add_argument(
        "--minutes", type=float, default=15.5, help="of training in all calls together; rates follow it"
    )
    parser.add_argument("--call-minutes", type=float, default=9.5, help="of this call, from its start to its end")
    parser.add_argument("--resume", action="store_true", help="go on from the state that an earlier call left in --out")
    parser.add_argument("--reserve-s", type=float, default=8.0, help="kept back for the export")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=13, help="CPU processes that draw scenes")
    parser.add_argument("--report-every", type=int, default=100, help="steps between lines of the log")
    parser.add_argument("--max-steps", type=int, help="stop after so many steps: to try the code")
    parser.add_argument("--profile", action="store_true", help="tell what each kind of step takes, first")
    parser.add_argument("--plain", action="store_true", help="do not compile")
    parser.add_argument("--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="other numbers than recipe.py's")
    parser.add_argument("--tiny", action="store_true", help="a toy model and toy batches: to try the code on a CPU")
    parser.add_argument("--compile", action="store_true", help="torch.compile on a CPU as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
