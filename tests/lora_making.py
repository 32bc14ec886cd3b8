"""LoRA files as the trainers write them, made of chance, and the checkpoint into which one is merged by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from hidream_studio.model.checkpoint import Checkpoint

Spelling = tuple[Callable[[str], str], str, str]
SPELLINGS: dict[str, Spelling] = {
    "ai-toolkit": (lambda name: f"diffusion_model.{name}", "lora_A.weight", "lora_B.weight"),
    "kohya": (lambda name: f"model.{name}", "lora_down.weight", "lora_up.weight"),
    "musubi": (
        lambda name: f"lora_unet_model_{name}".replace(".", "_"), "lora_down.weight", "lora_up.weight",
    ),
    "diffsynth": (lambda name: f"model.{name}", "lora_A.default.weight", "lora_B.default.weight"),
    "peft": (lambda name: f"base_model.model.model.{name}", "lora_A.weight", "lora_B.weight"),
    "bare": (lambda name: name, "lora_A.weight", "lora_B.weight"),
}  # fmt: skip
RANK = 4
SIZE = 0.3  # of the change, beside a matrix


def linears(checkpoint: Checkpoint) -> dict[str, tuple[int, int]]:
    """Upstream's name, without "model.", and (out, in) of everything that a LoRA may change."""
    keys = {key: tensor.shape for key, tensor in checkpoint.tensors.items() if key.endswith(".weight")}
    found = {key[len("model.") : -len(".weight")]: shape for key, shape in keys.items() if len(shape) == 2}
    return {name: (shape[0], shape[1]) for name, shape in found.items() if "embed_tokens" not in name}


def make_lora(
    path: Path,
    checkpoint: Checkpoint,
    seed: int,
    *,
    trainer: str = "ai-toolkit",
    alpha: float | None = None,
    rank: int = RANK,
    only: Iterable[str] | None = None,  # upstream's names; None: all
    shapes: Mapping[str, tuple[int, int]] | None = None,  # None: the decoder's `linears`
    metadata: Mapping[str, str] | None = None,
) -> dict[str, torch.Tensor]:
    """Write a LoRA of random numbers; what it adds to each matrix at strength 1, by upstream's name."""
    spell, down_key, up_key = SPELLINGS[trainer]
    shapes = shapes or linears(checkpoint)
    generator = torch.Generator().manual_seed(seed)
    tensors, changes = {}, {}
    for name in shapes if only is None else only:
        rows, cols = shapes[name]
        down = torch.randn((rank, cols), generator=generator) / cols**0.5
        up = SIZE * torch.randn((rows, rank), generator=generator) / rank**0.5
        tensors[f"{spell(name)}.{down_key}"], tensors[f"{spell(name)}.{up_key}"] = down, up
        if alpha is not None:
            tensors[f"{spell(name)}.alpha"] = torch.tensor(alpha)
        changes[name] = (rank if alpha is None else alpha) / rank * (up @ down)
    save_file(tensors, path, metadata=dict(metadata or {}))
    return changes


def merge(folder: Path, checkpoint: Checkpoint, *changes: tuple[Mapping[str, torch.Tensor], float]) -> Path:
    """A copy of the checkpoint in `folder` with these changes, each with its strength, in its weights."""
    shutil.copytree(checkpoint.folder, folder)
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        for change, strength in changes:
            for name, added in change.items():
                if (key := f"model.{name}.weight") in tensors:
                    tensors[key] = tensors[key].float() + strength * added
        save_file(tensors, file)
    return folder


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """How far, beside how large."""
    return float(np.linalg.norm(ours.astype(np.float64) - theirs) / np.linalg.norm(theirs.astype(np.float64)))
