"""Pictures of a checkpoint in batches, from text and from references. Knows nothing of judging."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from torch import Tensor

from hidream_studio.model.checkpoint import open_checkpoint
from hidream_studio.model.patches import unpatchify
from hidream_studio.model.weights import load_model
from hidream_studio.sampler.denoise import denoise, make_solver
from hidream_studio.sampler.schedules import full_schedule
from o1_tiny.illustrated.training.layout import Layout, layout_of
from o1_tiny.illustrated.training.recipe import Mode, TowerShape
from o1_tiny.illustrated.training.tokenizer import encode
from o1_tiny.illustrated.training.tower import Tower
from o1_tiny.illustrated.training.trainee import Pictures, eager, parts, predict, with_pictures


def load_tower(folder: Path, hidden: int, device: torch.device) -> Tower:
    """The vision tower of a checkpoint folder, strictly."""
    import json

    vision = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vision_config"]
    shape = TowerShape(
        vision["hidden_size"], vision["num_heads"], vision["depth"], vision["intermediate_size"],
        round(vision["num_position_embeddings"] ** 0.5), tuple(vision["deepstack_visual_indexes"]),
    )  # fmt: skip
    tower, state = Tower(shape, hidden), {}
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118, no mapping
                if key.startswith("model.visual."):
                    state[key.removeprefix("model.visual.")] = tensors.get_tensor(key).float()
    key = "patch_embed.proj.weight"
    state[key] = state[key].flatten(1)
    tower.load_state_dict(state)
    return tower.to(device).eval()


class Sampler:
    """Batches of pictures, by upstream's Euler over the full schedule."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self.model = load_model(open_checkpoint(str(folder)), device, torch.float32)
        self.tower = load_tower(folder, self.model.config.hidden_size, device)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._ids = tuple(self.tokenizer.token_to_id(f"<|{name}|>") for name in ("vision_start", "image_pad", "vision_end"))
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
        longest = max(map(len, texts))
        if (mode, longest) not in self._layouts:
            self._layouts[mode, longest] = layout_of(mode, self.model.config, self.tower.shape, longest, self._ids, self.device)
        layout = self._layouts[mode, longest]
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        for index, text in enumerate(texts):
            ids[index, : len(text)] = torch.tensor(text)
        lengths = torch.tensor([len(text) for text in texts], device=self.device) + layout.picture_tokens
        ids = with_pictures(ids.to(self.device), layout)
        pictures = Pictures.of([picture.repeat(branches, 1, 1) for picture in references], layout) if references else None
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

        schedule = full_schedule(steps, shift)
        solver = make_solver("euler", schedule, noise_scale=noise, seed=seed, like=z)
        for state in denoise(both, z, schedule, solver, guidance):
            z = state.z
        return unpatchify(z, rows, cols).clamp(-1, 1)


def to_uint8(pictures: Tensor) -> npt.NDArray[np.uint8]:  # (B, 3, H, W) in [-1, 1] → (B, H, W, 3)
    return ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
