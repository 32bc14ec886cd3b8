"""Pictures of a checkpoint in batches, from text and from references. Knows nothing of judging."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from torch import Tensor

from hidream_studio.model.config import ModelConfig
from hidream_studio.model.patches import unpatchify
from hidream_studio.model.transformer import O1Transformer
from o1_tiny.illustrated.training.export import state_of
from o1_tiny.illustrated.training.layout import Layout, layout_of
from o1_tiny.illustrated.training.recipe import Mode, TowerShape
from o1_tiny.illustrated.training.tokenizer import encode
from o1_tiny.illustrated.training.tower import Tower
from o1_tiny.illustrated.training.trainee import Pictures, eager, parts, predict, with_pictures

VISUAL = "model.visual."


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json, and all tensors in float32; the training machine needs no more of the package than its model."""
    state = {}
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            state |= {key: tensors.get_tensor(key).float() for key in tensors.keys()}
    return json.loads((folder / "config.json").read_text(encoding="utf-8")), state


@torch.no_grad()
def load_decoder(values: dict[str, Any], state: dict[str, Tensor], device: torch.device) -> O1Transformer:
    model = O1Transformer(ModelConfig.from_json(values))
    for key, weight in state_of(model).items():
        weight.copy_(state[key])
    return model.to(device).eval()


def load_tower(values: dict[str, Any], state: dict[str, Tensor], device: torch.device) -> Tower:
    """The vision tower of a checkpoint folder, strictly."""
    vision = values["vision_config"]
    shape = TowerShape(
        vision["hidden_size"], vision["num_heads"], vision["depth"], vision["intermediate_size"],
        round(vision["num_position_embeddings"] ** 0.5), tuple(vision["deepstack_visual_indexes"]),
    )  # fmt: skip
    own = {key.removeprefix(VISUAL): tensor for key, tensor in state.items() if key.startswith(VISUAL)}
    own["patch_embed.proj.weight"] = own["patch_embed.proj.weight"].flatten(1)
    tower = Tower(shape, vision["out_hidden_size"])
    tower.load_state_dict(own)
    return tower.to(device).eval()


def full_schedule(steps: int, shift: float) -> tuple[list[int], list[float]]:
    """Timesteps and sigmas, one more of these, as hidream_studio.sampler.schedules has them; a test sees that."""
    largest = np.float32(0.999)
    first = float(np.float32(shift) * largest / (1 + np.float32(shift - 1) * largest))
    spaced = np.linspace(first, 0, steps + 1)[:-1]
    sigmas = shift * spaced / (1 + (shift - 1) * spaced)
    return (sigmas * 1000).astype(np.int64).tolist(), [*sigmas.astype(np.float32).tolist(), 0.0]


class Sampler:
    """Batches of pictures, by upstream's Euler over the full schedule."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        values, state = read_folder(folder)
        self.model, self.tower = load_decoder(values, state, device), load_tower(values, state, device)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._ids = tuple(
            self.tokenizer.token_to_id(f"<|{name}|>") for name in ("vision_start", "image_pad", "vision_end")
        )
        self._layouts: dict[tuple[Mode, int], Layout] = {}
        self._run = parts(eager)

    @torch.inference_mode()
    def draw(
        self,
        prompts: Sequence[str],
        mode: Mode,
        references: list[Tensor] | None = None,  # each (B, N, 3072), drawn on the mode's grid
        *,
        steps: int = 50,
        guidance: float = 2.0,
        shift: float = 3.0,
        noise: float = 7.0,
        seed: int = 0,
    ) -> Tensor:  # (B, 3, H, W) in [-1, 1]
        rows, cols = mode.grid
        count, branches = len(prompts), 2 if guidance > 1 else 1
        texts = encode(self.tokenizer, [*prompts, *([" "] * count if branches == 2 else [])])
        before = sum(rows * cols + 2 for rows, cols in mode.pictures)
        longest = max(map(len, texts))
        longest += -(longest + before + 1 + mode.own_tokens) % 8  # as attention with a mask likes it
        if (mode, longest) not in self._layouts:
            self._layouts[mode, longest] = layout_of(
                mode, self.model.config, self.tower.shape, longest, self._ids, self.device
            )
        layout = self._layouts[mode, longest]
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        for index, text in enumerate(texts):
            ids[index, : len(text)] = torch.tensor(text)
        lengths = torch.tensor([len(text) for text in texts], device=self.device) + layout.picture_tokens
        ids = with_pictures(ids.to(self.device), layout)
        pictures = (
            Pictures.of([picture.repeat(branches, 1, 1) for picture in references], layout) if references else None
        )
        generator = torch.Generator().manual_seed(seed)
        z = (torch.randn(count, rows * cols, 3072, generator=generator) * noise).to(self.device)
        working = torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

        def both(z: Tensor, t: Tensor) -> tuple[Tensor, ...]:
            with working:
                found = predict(
                    self.model, self.tower, self._run, layout, ids, lengths, z.repeat(branches, 1, 1),
                    t.expand(branches * count), pictures,
                )  # fmt: skip
            return tuple(found.float().chunk(branches))

        timesteps, sigmas = full_schedule(steps, shift)
        for index, timestep in enumerate(timesteps):
            t = 1 - torch.tensor([timestep / 1000], device=self.device)
            found = both(z, t)
            x0 = torch.lerp(found[1], found[0], guidance) if branches == 2 else found[0]
            x0 = torch.lerp(z, x0, sigmas[index] / max(timestep / 1000, 0.001))
            z = z.lerp(x0, 1 - sigmas[index + 1] / sigmas[index])
        return unpatchify(z, rows, cols).clamp(-1, 1)


def to_uint8(pictures: Tensor) -> npt.NDArray[np.uint8]:  # (B, 3, H, W) in [-1, 1] → (B, H, W, 3)
    return ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
