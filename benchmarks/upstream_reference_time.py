"""How long upstream's own code takes for a step from pictures: the scenes of reference_step_time.py, whose input it is.

    PYTHONPATH=TARGET python benchmarks/upstream_reference_time.py --upstream DIR --bench DIR [--json OUT.json]

`--upstream` holds a checkout's models/ folder, `--bench` the script that times upstream from words (measure.py, with
the stand-in for flash-attn beside it), TARGET the versions of transformers and others that upstream runs on. Nothing of
them is part of this repository. Run it in the same call as reference_step_time.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

SCENES = {"edit": 1, "subjects": 4}
PICTURE_PX, SEED = 1500, 7
STEPS = (3, 11)
TEXT_TOKENS = (63, 11)  # of a prompt and of the empty one, without the tms token
PICTURE, START, END, WORD, BOI, TMS = 151655, 151652, 151653, 100, 151669, 151673


class Processor:
    """Stands in for the checkpoint's: fixed ids, and values of the right shape, which decide no time."""

    def apply_chat_template(self, messages: list[dict], **_: Any) -> str:
        return str(messages[0]["content"][-1]["text"])

    def encode(self, text: str, **_: Any) -> torch.Tensor:
        return torch.tensor([[BOI, TMS]])

    def __call__(self, text: list[str], images: list[Image.Image], **_: Any) -> SimpleNamespace:
        grids = torch.tensor([[1, image.height // 16, image.width // 16] for image in images])
        counts = (grids[:, 1] * grids[:, 2]).tolist()
        ids = [WORD] * 3
        for count in counts:
            ids += [START, *[PICTURE] * (count // 4), END]
        ids += [WORD] * (TEXT_TOKENS[1 if text[0] == " " else 0] - 1)
        pixels = torch.randn((sum(counts), 1536), generator=torch.Generator().manual_seed(SEED))
        return SimpleNamespace(input_ids=torch.tensor([ids]), pixel_values=pixels, image_grid_thw=grids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", required=True, type=Path)
    parser.add_argument("--bench", required=True, type=Path)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sys.path[:0] = [str(arguments.upstream), str(arguments.bench)]
    torch.set_grad_enabled(False)
    import measure
    import models.pipeline as pipeline
    import models.qwen3_vl_transformers as modules

    pipeline.tqdm.tqdm = lambda steps, **_: steps
    pipeline.find_closest_resolution = lambda width, height: (width, height)
    model, processor = measure.random_8b(modules), Processor()
    on_cuda = torch.cuda.is_available()  # a bench folder with a small model lets this be tried on a CPU
    wait = torch.cuda.synchronize if on_cuda else (lambda: None)
    result: dict[str, float | str] = {
        "device": torch.cuda.get_device_name() if on_cuda else "cpu", "torch": str(torch.__version__),
    }  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        rng, paths = np.random.default_rng(SEED), []
        for index in range(max(SCENES.values())):
            paths.append(str(Path(folder) / f"{index}.png"))
            pixels = rng.integers(0, 256, (PICTURE_PX, PICTURE_PX, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(paths[-1], compress_level=1)

        def seconds(pictures: int, steps: int, guidance: float) -> float:
            wait()
            start_s = time.perf_counter()
            pipeline.generate_image(
                model, processor, "a", paths[:pictures], height=arguments.size, width=arguments.size,
                num_inference_steps=steps, guidance_scale=guidance, shift=3.0, seed=SEED,
            )  # fmt: skip
            wait()
            return time.perf_counter() - start_s

        for name, pictures in SCENES.items():
            for guidance in (5.0, 1.0):
                seconds(pictures, 2, guidance)
                short, long = STEPS
                per_step = (seconds(pictures, long, guidance) - seconds(pictures, short, guidance)) / (long - short)
                result[f"{name}_{arguments.size}_g{guidance:.0f}_s_per_step"] = per_step
                print(f"upstream {name} g{guidance:.0f}: {per_step * 1e3:.1f} ms a step", flush=True)
    if on_cuda:
        result["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
