"""The project's model as training runs it: compiled block by block, loss and start of weights. Knows no data, no steps.

`predict` is `O1Transformer.encode_text` and `forward` written out once more over the model's own blocks, because
those must be compiled one by one, in bf16 with float32 masters and a float32 residual stream; a test sees that both
agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from hidream_studio.model.positions import rotary, step_positions, text_positions
from hidream_studio.model.transformer import O1Transformer

NOISE_SCALE = 8.0  # upstream models/pipeline.py
SIGMA_FLOOR = 0.15  # below, the loss no longer grows
CLEAN_SIGMA = 0.3  # from here down the picture is nearly decided, and single pixels count
CLEAN_WEIGHT, SEAM_WEIGHT = 0.4, 0.12
DROPPED_PROMPTS = 0.1  # share replaced by upstream's unconditional prompt

Compiler = Callable[[Any], Any]  # takes a function, gives a faster one


@dataclass(frozen=True)
class Parts:
    """The functions that a training step is made of, compiled or not."""

    block: Callable[..., Tensor]
    text: Callable[..., tuple[Tensor, Tensor, Tensor]]
    noise: Callable[..., Tensor]
    loss: Callable[..., Tensor]
    coverages: Callable[..., list[Tensor]]
    mix: Callable[..., Tensor]


def parts(compiler: Compiler) -> Parts:
    from training.render import coverages, mix

    return Parts(
        compiler(_block), compiler(_text), compiler(add_noise), compiler(loss), compiler(coverages), compiler(mix)
    )


def _block(block: Any, x: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return block(x, cos, sin, [(keys, values)], mask)


def _text(block: Any, x: Tensor, cos: Tensor, sin: Tensor, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    return block.text(x, cos, sin, last=last)


class Angles:
    """Rotary tables, computed before anything is captured: making them copies from the host, which a graph cannot."""

    def __init__(self, model: O1Transformer, text_tokens: int) -> None:
        self._model, device = model, model.device
        self.text = rotary(text_positions(text_tokens, device), model.config, torch.float32)  # 2 × (1, T, 1, head_dim)
        self._images: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def prepare(self, rows: int, cols: int) -> None:
        positions = step_positions(torch.zeros(1, device=self._model.device, dtype=torch.long), rows, cols)[:, :, 1:]
        self._images[rows, cols] = rotary(positions, self._model.config, torch.float32)

    def of_step(self, lengths: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the tms token, which stands behind a text of that length, and of the patches."""
        if (rows, cols) not in self._images:
            self.prepare(rows, cols)
        tms, image = (table[0][lengths][:, None] for table in self.text), self._images[rows, cols]
        cos, sin = (
            torch.cat((own, patches.expand(len(lengths), -1, -1, -1)), dim=1)
            for own, patches in zip(tms, image, strict=True)
        )
        return cos, sin


def predict(
    model: O1Transformer,
    run: Parts,
    angles: Angles,
    ids: Tensor,  # (B, T) int64, padded at the end
    mask: Tensor,  # (B, T) bool, True at a prompt's own tokens
    patches: Tensor,  # (B, N, 3072), noisy
    t: Tensor,  # (B,) 1 - sigma
    rows: int,
    cols: int,
) -> Tensor:  # (B, N, 3072)
    """The clean patches, as `model` sees them."""
    # as a product: its backward needs no sorting of ids
    chosen = ids[..., None] == torch.arange(model.config.vocab_size, device=ids.device)
    text = (chosen.to(patches.dtype) @ model.embed.weight).float()
    cos, sin = (table[:, : ids.shape[1]] for table in angles.text)
    image_cos, image_sin = angles.of_step(mask.sum(dim=-1), rows, cols)
    tokens = model.patch_in2(model.patch_in1(patches))
    x = torch.cat((model.timestep(t)[:, None].float(), tokens.float()), dim=1)
    key_mask = F.pad(mask, (0, x.shape[1]), value=True)
    with _kernels(x.device):
        for block in model.blocks:
            # the last layer's keys and values alone are little: not worth a compilation of their own
            last = block is model.blocks[-1]
            text, keys, values = (_text if last else run.text)(block, text, cos, sin, last)
            x = run.block(block, x, image_cos, image_sin, keys, values, key_mask)
    return model.patch_out(model.norm(x[:, 1:]))


def _kernels(device: torch.device) -> Any:
    # cuDNN would plan anew for each of the many shapes, and takes no mask
    if device.type != "cuda":
        return nullcontext()
    order = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return sdpa_kernel(order, set_priority=True)


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """z = (1 - sigma) x0 + sigma · 8 · noise; all (B, N, 3072), sigma (B,)."""
    share = sigma[:, None, None]
    return (1 - share) * clean + share * NOISE_SCALE * noise


def draw_sigma(count: int, image_tokens: int, device: torch.device) -> Tensor:
    """Noise levels, (count,): mostly logistic-normal, later for larger pictures; some uniform; some nearly clean.

    The nearly clean ones are what a sampler's last steps see: flat colours and edges are decided there.
    """
    chance = torch.rand(count, device=device)
    level = torch.rand(count, device=device)
    centre = 0.8 + 0.5 * math.log(image_tokens / 64)
    spread = torch.sigmoid(centre + 1.5 * torch.randn(count, device=device))
    clean = 0.02 + 0.3 * level
    return torch.where(chance < 0.09, clean, torch.where(chance < 0.19, level, spread)).clamp(0.001, 0.999)


def loss(
    predicted: Tensor,  # (B, rows, cols, 3, 32, 32)
    clean: Tensor,  # (B, rows, cols, 3, 32, 32)
    sigma: Tensor,  # (B,)
) -> Tensor:
    """Squared error by noise level; where the picture is nearly decided also plain error, of pixels and across seams.

    The plain (L1) error has the same pull on a level that is off by one as on one that is off by a hundred, so flat
    colours become exactly flat; its differences across the borders of patches are what an eye sees as a grid.
    """
    error = predicted.float() - clean
    scale = 1 / sigma.clamp(min=SIGMA_FLOOR)
    square = (error.square().mean(dim=(1, 2, 3, 4, 5)) * scale * scale).mean()
    plain = error.abs().mean(dim=(1, 2, 3, 4, 5))
    across = (error[:, :, 1:, :, :, 0] - error[:, :, :-1, :, :, -1]).abs().mean(dim=(1, 2, 3, 4))
    down = (error[:, 1:, :, :, 0] - error[:, :-1, :, :, -1]).abs().mean(dim=(1, 2, 3, 4))
    decided = ((CLEAN_SIGMA - sigma) / (CLEAN_SIGMA / 2)).clamp(0, 1)
    fine = (decided * scale * (CLEAN_WEIGHT * plain + SEAM_WEIGHT * (across + down))).mean()
    return square + fine


@torch.no_grad()
def start_weights(model: O1Transformer, patches: Tensor, seed: int) -> None:
    """Fresh weights: patch embedder and final layer from the PCA of clean `patches` (P, 3072), the blocks silent."""
    generator = torch.Generator(patches.device).manual_seed(seed)
    hidden = model.config.hidden_size
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0 if "norm" in name else 0.0)
        elif name.endswith(("attention.out.weight", "down.weight")):
            parameter.zero_()
        elif name == "embed.weight":
            parameter.normal_(0, 1.0, generator=generator)
        else:
            parameter.normal_(0, parameter.shape[1] ** -0.5, generator=generator)
    mean = patches.mean(dim=0)
    centred = (patches - mean).double()
    power, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    power, axes = power.flip(0).clamp(min=1e-8).float(), axes.flip(1).float()  # (3072,), columns by falling power
    bottleneck = model.config.bottleneck
    whiten = (power[:bottleneck] + 0.25 * NOISE_SCALE**2).rsqrt()
    model.patch_in1.weight.copy_((axes[:, :bottleneck] * whiten).T)
    model.patch_in2.weight.zero_()
    model.patch_in2.weight[:bottleneck].copy_(torch.eye(bottleneck))
    model.patch_in2.weight[bottleneck:].normal_(0, 0.5 * bottleneck**-0.5, generator=generator)
    model.patch_out.weight.copy_(axes[:, :hidden] * power[:hidden].sqrt() * 0.5)
    model.patch_out.bias.copy_(mean)
