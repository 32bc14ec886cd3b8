"""Write a checkpoint of the 8B shape with random weights, so that a server can be timed without the real ones.

    python3 benchmarks/random_checkpoint.py /tmp/random-8b --tokenizer-from src/hidream_studio/checkpoints/o1-tiny

18 GB in bf16, with the vision tower. Its pictures are noise; its seconds are those of the real model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import torch
from safetensors.torch import save_file

from hidream_studio.job.references import PROCESSOR_FILE
from hidream_studio.model.config import CONFIG_8B, VISION_8B, VISION_ACTIVATION, ModelConfig
from hidream_studio.model.layout import Slot, slots, vision_slots

SHARD_BYTES = 4 * 10**9  # about as large as upstream's
INIT_STD = 0.02  # transformers' initializer_range
PROCESSOR = {  # Qwen3-VL's
    "size": {"shortest_edge": 65536, "longest_edge": 16777216}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    "patch_size": VISION_8B.patch_px, "temporal_patch_size": VISION_8B.frames, "merge_size": VISION_8B.merge,
}  # fmt: skip
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def main() -> int:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("folder", type=Path)
    parse.add_argument("--tokenizer-from", type=Path, required=True, help="a checkpoint's folder")
    parse.add_argument("--layers", type=int, default=CONFIG_8B.layers, help="fewer for a try")
    parse.add_argument("--seed", type=int, default=0)
    arguments = parse.parse_args()
    started = time.perf_counter()
    config = ModelConfig(**{**CONFIG_8B.__dict__, "layers": arguments.layers})
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (arguments.tokenizer_from / name).is_file():
            shutil.copy(arguments.tokenizer_from / name, arguments.folder / name)
    (arguments.folder / "config.json").write_text(json.dumps(config_json(config), indent=2))
    (arguments.folder / PROCESSOR_FILE).write_text(json.dumps(PROCESSOR, indent=2))
    size = write_shards(arguments.folder, config, arguments.seed)
    print(f"{arguments.folder}: {size / 1e9:.1f} GB in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return 0


def write_shards(folder: Path, config: ModelConfig, seed: int) -> int:
    """Tensor by tensor, drawn on the GPU where there is one; the bytes written."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(seed)
    places: dict[str, str] = {}
    written = 0
    for number, group in groupby(_numbered(config), key=lambda pair: pair[0]):
        name = f"model-{number + 1:05d}.safetensors"
        tensors = {slot.key: _drawn(slot, device, generator) for _, slot in group}
        save_file(tensors, folder / name)
        places |= dict.fromkeys(tensors, name)
        written += sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": written}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    return written


def config_json(config: ModelConfig) -> dict[str, object]:
    """The keys of upstream's config.json that are read."""
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "text_config": {
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.layers,
            "intermediate_size": config.mlp_size,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "vocab_size": config.vocab_size,
            "rms_norm_eps": config.rms_eps,
            "rope_theta": config.rope_theta,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": list(config.mrope_section)},
        },
        "vision_config": {
            "depth": VISION_8B.layers,
            "hidden_size": VISION_8B.hidden_size,
            "num_heads": VISION_8B.heads,
            "intermediate_size": VISION_8B.mlp_size,
            "patch_size": VISION_8B.patch_px,
            "temporal_patch_size": VISION_8B.frames,
            "spatial_merge_size": VISION_8B.merge,
            "num_position_embeddings": VISION_8B.positions,
            "deepstack_visual_indexes": list(VISION_8B.deepstack_after),
            "out_hidden_size": VISION_8B.out_size,
            "hidden_act": VISION_ACTIVATION,
        },
    }


def _numbered(config: ModelConfig) -> Iterator[tuple[int, Slot]]:
    """Each tensor with the number of its shard."""
    total = 0
    for slot in (*slots(config), *vision_slots(VISION_8B)):
        yield total // SHARD_BYTES, slot
        total += 2 * torch.Size(slot.shape).numel()


def _drawn(slot: Slot, device: str, generator: torch.Generator) -> torch.Tensor:
    """Matrices N(0, 0.02²), norms 1, biases 0."""
    tensor = torch.empty(slot.shape, dtype=torch.bfloat16, device=device)
    if len(slot.shape) > 1:
        return tensor.normal_(0, INIT_STD, generator=generator).cpu()
    return tensor.fill_(1.0 if "norm" in slot.key else 0.0).cpu()


if __name__ == "__main__":
    sys.exit(main())
