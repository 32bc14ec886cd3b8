"""The project's model and its vision tower as training runs them: compiled block by block, loss, start of weights.

Knows no data, no steps. `predict` is `O1Transformer.encode_text` and `forward` written out once more over the model's
own blocks, because those must be compiled one by one, in bf16 with float32 masters, because several noisy versions of a
scene share one reading of its caption, and because pictures come in; a test sees that both agree.
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

from hidream_studio.model.patches import patchify, unpatchify
from hidream_studio.model.transformer import O1Transformer
from o1_tiny.illustrated.training.layout import BEFORE_PICTURES, Layout
from o1_tiny.illustrated.training.probes import letter_loss, place_loss
from o1_tiny.illustrated.training.recipe import LETTERS_AFTER, NOISE_SCALE, PLACES_AFTER
from o1_tiny.illustrated.training.tower import Tower, vision_rows
from o1_tiny.illustrated.training.unmasked import UnmaskedKeys, attend_unmasked

SIGMA_FLOOR = 0.15  # below, the loss no longer grows
CLEAN_SIGMA = 0.32  # the nearly clean levels reach up to here
PLAIN_SIGMA = 0.9  # from here down plain error counts more and more, in full from half of it
GUIDED_SIGMA = 0.9  # the same for what guidance makes of both predictions
CLEAN_WEIGHT, ROUGH_WEIGHT, SEAM_WEIGHT = 0.4, 0.3, 0.03  # a seam's pair of pixels counts as three inner ones
CLEAN_SHARES, UNIFORM_SHARE = (0.06, 0.20), 0.1  # of the noise levels; clean ones at first, and once layouts are learnt
CLEAN_TOKENS = 256  # of a picture with so many that share is meant; smaller ones see more of them
NOISIEST_SHARE = 0.08  # of the noise levels in the fine phase; layouts are decided there
NOISIEST = (0.8, 3.6)  # logits above the usual centre
FINE_SHIFT = 0.6  # by so much the other levels move towards clean ones in the fine phase, as logits
LEVEL_SPREADS = (1.5, 1.1)  # standard deviation of the other levels, as logits; at first, and in the fine phase
PAIRED_SHARE = 0.15  # of the scenes, those that are seen again with upstream's unconditional prompt
GUIDED_WEIGHT = 1.0
GUIDANCE = 2.0  # at which the pairs of both are judged together
DISTURBED_SHARE = 0.5  # of the noise levels, once layouts are learnt, that start from disturbed patches
DISTURBED_PX, DISTURBED_TINT = 1.2, 0.02  # of patches disturbed in full: standard deviations, colours in [-1, 1]
MOVED_PX = 3  # the whole shift that smaller ones are mixed from; less than render.EDGE_PX, the width of things' edges

Dims = tuple[int, ...]  # of a tensor, those that differ from batch to batch
Compiler = Callable[[Any, tuple[Dims, ...]], Any]  # takes a function and the dims of its arguments, gives a faster one


def eager(function: Any, _dims: tuple[Dims, ...]) -> Any:
    """The `Compiler` that leaves everything as it is."""
    return function


@dataclass(frozen=True)
class Parts:
    """The functions that a training step is made of, compiled or not."""

    embed: Callable[..., Tensor]
    tokens: Callable[..., Tensor]
    block: Callable[..., Tensor]
    text: Callable[..., tuple[Tensor, Tensor, Tensor]]
    head: Callable[..., Tensor]
    noise: Callable[..., Tensor]
    loss: Callable[..., Tensor]
    guided_loss: Callable[..., Tensor]
    place_loss: Callable[..., Tensor]
    letter_loss: Callable[..., Tensor]


def parts(compiler: Compiler) -> Parts:
    return Parts(
        embed=compiler(_embed, ((), (0, 1))),
        tokens=compiler(_tokens, ((), (0, 1), (0,))),
        # a picture's keys come in one length for each mode; the masks are index tensors on a GPU
        block=compiler(_block, ((), (0, 1), (0, 1), (0, 1), (0, 1), (0, 1), (0,))),
        text=compiler(_text, ((), (0, 1), (1,), (1,), ())),
        head=compiler(_head, ((), (0, 1))),
        noise=compiler(noisy, ((0, 1), (0,), ())),
        loss=compiler(loss, ((0, 2, 3), (0, 1, 2), (0,), (), (0, 1, 2))),
        guided_loss=compiler(guided_loss, ((0, 2), (0, 2), (0, 1), (0,))),
        place_loss=compiler(place_loss, ((), (0, 1), (0,))),
        letter_loss=letter_loss,  # little work
    )


def _embed(model: O1Transformer, ids: Tensor) -> Tensor:
    # as a product: its backward needs no sorting of ids
    chosen = ids[..., None] == torch.arange(model.config.vocab_size, device=ids.device)
    embedded: Tensor = chosen.to(_working(ids.device)) @ model.embed.weight
    return embedded


def _tokens(model: O1Transformer, patches: Tensor, t: Tensor) -> Tensor:
    tokens = model.patch_in2(model.patch_in1(patches))
    return torch.cat((model.timestep(t)[:, None].to(tokens.dtype), tokens), dim=1)


def _block(block: Any, x: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, mask: Any) -> Tensor:
    return block(x, cos, sin, [(keys, values)], mask)


def _text(block: Any, x: Tensor, cos: Tensor, sin: Tensor, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    return block.text(x, cos, sin, last=last)


def _head(model: O1Transformer, x: Tensor) -> Tensor:
    predicted: Tensor = model.patch_out(model.norm(x))
    return predicted


def _working(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@dataclass(frozen=True)
class Pictures:
    """What a batch's references are to the model."""

    patches: Tensor  # (S, M, 3072), clean
    rows: tuple[Tensor, ...]  # for each reference (S, patches, 1536), the vision tower's

    @classmethod
    @torch.no_grad()
    def of(cls, drawn: list[Tensor], layout: Layout) -> Pictures:
        """`drawn` are the references as pictures of the target's grid, (S, N, 3072)."""
        (rows, cols), patches, seen = layout.mode.grid, [], []
        for picture, fits, shrinks in zip(drawn, layout.fits, layout.shrinks, strict=True):
            fitted = _resized(unpatchify(picture, rows, cols), fits)
            patches.append(patchify(fitted))
            seen.append(vision_rows(_resized(fitted, shrinks)))
        return cls(torch.cat(patches, dim=1), tuple(seen))


def _resized(pictures: Tensor, matrices: tuple[Tensor, Tensor]) -> Tensor:
    down, across = matrices
    return (down @ pictures @ across.T).clamp(-1, 1)


def with_pictures(ids: Tensor, layout: Layout) -> Tensor:  # (S, T) → (S, T + P)
    """Prompts with the tokens of their pictures before them."""
    if not layout.picture_tokens:
        return ids
    own = layout.picture_ids.expand(len(ids), -1)
    return torch.cat((ids[:, :BEFORE_PICTURES], own, ids[:, BEFORE_PICTURES:]), dim=1)


def predict(
    model: O1Transformer,
    tower: Tower,
    run: Parts,
    layout: Layout,
    ids: Tensor,  # (S, T) int64, of `with_pictures`, padded at the end
    lengths: Tensor,  # (S,) of the prompts with their pictures
    patches: Tensor,  # (S * draws, N, 3072), noisy; the draws of a scene lie together
    t: Tensor,  # (S * draws,) 1 - sigma
    pictures: Pictures | None = None,
    draws: int = 1,
    inner: list[Tensor] | None = None,  # gets (S * draws, N, hidden) after PLACES_AFTER, LETTERS_AFTER
) -> Tensor:  # (S * draws, N, 3072)
    """The clean patches, as `model` sees them."""
    text, deep = run.embed(model, ids), []
    count = patches.shape[1]
    if pictures is not None:
        with _kernels(text.device):
            seen = [tower(rows.to(text.dtype), sight) for rows, sight in zip(pictures.rows, layout.sights, strict=True)]
        vision, *deep = (torch.cat(level, dim=1).to(text.dtype) for level in zip(*seen, strict=True))
        text = text.index_copy(1, layout.picture_places, vision)
        references = pictures.patches.to(patches.dtype).repeat_interleave(draws, dim=0)
        patches = torch.cat((patches, references), dim=1)
    cos, sin = layout.text_cos[:, : ids.shape[1]], layout.text_sin[:, : ids.shape[1]]
    lengths = lengths.repeat_interleave(draws)
    own_cos, own_sin = (
        torch.cat((of_text[0][lengths][:, None], own.expand(len(lengths), -1, -1, -1)), dim=1)
        for of_text, own in ((layout.text_cos, layout.own_cos), (layout.text_sin, layout.own_sin))
    )
    x = run.tokens(model, patches, t)
    keys_seen: Any
    if model.blocks[0].attend is attend_unmasked:
        keys_seen = UnmaskedKeys.of(lengths, ids.shape[1], x.shape[1])
    else:
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        keys_seen = F.pad(mask, (0, x.shape[1]), value=True)
    with _kernels(x.device):
        for number, block in enumerate(model.blocks, start=1):
            # the last layer's keys and values alone are little: not worth a compilation of their own
            last = block is model.blocks[-1]
            text, keys, values = (_text if last else run.text)(block, text, cos, sin, last)
            if number <= len(deep) and not last:
                text = text.index_add(1, layout.picture_places, deep[number - 1])
            keys, values = (of_text.to(x.dtype).repeat_interleave(draws, dim=0) for of_text in (keys, values))
            x = run.block(block, x, own_cos, own_sin, keys, values, keys_seen)
            if inner is not None and number in (PLACES_AFTER, min(LETTERS_AFTER, len(model.blocks))):
                inner.append(x[:, 1 : 1 + count])
    return run.head(model, x[:, 1 : 1 + count].contiguous())


def _kernels(device: torch.device) -> Any:
    # cuDNN would plan anew for each of the many shapes
    if device.type != "cuda":
        return nullcontext()
    order = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return sdpa_kernel(order, set_priority=True)


def paired(
    every: Tensor,  # (S, …)
    pairs: int,
) -> Tensor:
    """The same, but the last `pairs` scenes have what the first ones have."""
    return torch.cat((every[: len(every) - pairs], every[:pairs]))


def noisy(
    clean: Tensor,  # (S, N, 3072)
    sigma: Tensor,  # (S, draws)
    fine_share: Tensor,  # ()
) -> Tensor:  # (S, draws, N, 3072)
    """Every scene at all its noise levels; in the fine phase some of patches that do not quite fit together."""
    chance, much = torch.rand(2, *sigma.shape, device=clean.device).unbind()
    start = disturbed(clean, torch.where(chance < DISTURBED_SHARE * fine_share, much, 0.0))
    noise = torch.randn(*sigma.shape, *clean.shape[1:], device=clean.device)
    return add_noise(start, noise, sigma[..., None, None]).to(_working(clean.device))


def disturbed(
    clean: Tensor,  # (S, N, 3072)
    much: Tensor,  # (S, draws) 0 to 1
) -> Tensor:  # (S, draws, N, 3072)
    """Each patch a little off, on its own: moved by about a pixel, and tinted.

    A sampler's last steps see what its middle ones drew: outlines that break by a pixel between patches. Pictures under
    noise alone never show that (exposure bias; cf. Ning et al. 2023, input perturbation). With the true picture as what
    is wanted, a model can learn to mend it.
    """
    tiles = clean.view(clean.shape[0], 1, clean.shape[1], 3, 32, 32)
    much = much[..., None, None, None, None]
    shape = (much.shape[0], much.shape[1], clean.shape[1], 3, 1, 1)
    moved = tiles + much * DISTURBED_TINT * torch.randn(shape, device=clean.device)
    for axis in (-1, -2):
        # a shift by part of MOVED_PX mixes the tile with itself shifted by so much; a thing's edge is softer than that
        share = much * torch.randn(*shape[:3], 1, 1, 1, device=clean.device) * (DISTURBED_PX / MOVED_PX)
        for away, direction in ((1, share), (-1, -share)):
            moved = moved + direction.clamp(0, 1) * (_shifted(tiles, axis, away * MOVED_PX) - tiles)
    return moved.flatten(3)


def _shifted(tiles: Tensor, axis: int, by: int) -> Tensor:
    """Every tile moved by whole pixels along an axis; what comes in is its last row or column again."""
    length = tiles.shape[axis]
    if by > 0:
        return torch.cat((tiles.narrow(axis, by, length - by), *[tiles.narrow(axis, length - 1, 1)] * by), axis)
    return torch.cat((*[tiles.narrow(axis, 0, 1)] * -by, tiles.narrow(axis, 0, length + by)), axis)


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """z = (1 - sigma) x0 + sigma · 8 · noise; shapes that broadcast."""
    return (1 - sigma) * clean + sigma * NOISE_SCALE * noise


def draw_sigma(scenes: int, draws: int, image_tokens: int, fine_share: Tensor) -> Tensor:
    """Noise levels, (scenes, draws): mostly logistic-normal, later for larger pictures; some uniform, some clean.

    The nearly clean ones are what a sampler's last steps see: flat colours and edges are decided there, in small
    pictures more of what is seen. They grow with `fine_share`, (), as plain error does, and the logistic-normal ones
    move towards them; so that layouts are not lost for that, some of the noisiest are then drawn for themselves. Of the
    logistic-normal ones the draws of one scene are spread over all levels (stratified), so that few scenes are seen at
    like levels alone.
    """
    device = fine_share.device
    chance, level = torch.rand(scenes, draws, device=device), torch.rand(scenes, draws, device=device)
    rank = (torch.arange(draws, device=device) + torch.rand(scenes, draws, device=device)) / draws
    usual = 0.8 + 0.5 * math.log(image_tokens / 64)
    centre = usual - FINE_SHIFT * fine_share
    deviation = LEVEL_SPREADS[0] + (LEVEL_SPREADS[1] - LEVEL_SPREADS[0]) * fine_share
    spread = torch.sigmoid(centre + deviation * torch.special.ndtri(rank.clamp(1e-5, 1 - 1e-5)))
    clean = 0.02 + (CLEAN_SIGMA - 0.02) * level
    most = CLEAN_SHARES[1] * (CLEAN_TOKENS / image_tokens) ** 0.25
    clean_share = CLEAN_SHARES[0] + (most - CLEAN_SHARES[0]) * fine_share
    noisiest = torch.sigmoid(usual + NOISIEST[0] + (NOISIEST[1] - NOISIEST[0]) * level)
    sigma = torch.where(chance < clean_share, clean, torch.where(chance < clean_share + UNIFORM_SHARE, level, spread))
    sigma = torch.where(chance > 1 - NOISIEST_SHARE * fine_share, noisiest, sigma)
    return sigma.clamp(0.001, 0.999)


def loss(
    predicted: Tensor,  # (S, draws, rows, cols, 3, 32, 32)
    clean: Tensor,  # (S, rows, cols, 3, 32, 32)
    sigma: Tensor,  # (S, draws)
    fine_share: Tensor,  # () how far the fine phase is, 0 to 1
    care: Tensor,  # (S, rows, cols) how much an error in each patch counts
) -> Tensor:
    """Squared error by noise level; from PLAIN_SIGMA down also plain error, of pixels and of neighbours' differences.

    Where noise hides nearly everything, most of the error is chance. It is large, and teaches layouts; once those are
    learnt it weighs less, by 2 sqrt(sigma (1 - sigma)) from 0.5 up, so that exact places and outlines, which the middle
    levels decide, weigh more. The shape was chosen by hand: it lies between the weights before and equal ones.
    The plain (L1) error has the same pull on a level that is off by one as on one that is off by a hundred, so flat
    colours become exactly flat; its differences across the borders of patches are what an eye sees as a grid.
    """
    error = predicted.float() - clean[:, None]
    scale = 1 / sigma.clamp(min=SIGMA_FLOOR)
    upper = sigma.clamp(min=0.5)
    noise_weight = torch.lerp(torch.ones_like(sigma), 2 * (upper * (1 - upper)).sqrt(), fine_share)  # at 0.97 to 0.34
    care = care[:, None]

    def mean(each: Tensor) -> Tensor:  # (S, draws, rows, cols, …) → (S, draws)
        return (each.mean(dim=(4, 5, 6)) * care).mean(dim=(2, 3))

    square = (mean(error.square()) * scale * scale * noise_weight).mean()
    plain = mean(error.abs())
    rough = mean((error[..., 1:] - error[..., :-1]).abs())
    rough = rough + mean((error[..., 1:, :] - error[..., :-1, :]).abs())
    across = (error[:, :, :, 1:, :, :, 0] - error[:, :, :, :-1, :, :, -1]).abs().mean(dim=(2, 3, 4, 5))
    down = (error[:, :, 1:, :, :, 0] - error[:, :, :-1, :, :, -1]).abs().mean(dim=(2, 3, 4, 5))
    decided = ramp(sigma, PLAIN_SIGMA)
    fine = (decided * scale * (CLEAN_WEIGHT * plain + ROUGH_WEIGHT * rough + SEAM_WEIGHT * (across + down))).mean()
    return square + fine_share * fine


def guided_loss(
    conditional: Tensor,  # (P, draws, N, 3072)
    unconditional: Tensor,  # (P, draws, N, 3072), of the same noisy patches
    clean: Tensor,  # (P, N, 3072)
    sigma: Tensor,  # (P, draws)
) -> Tensor:
    """Error of what a sampler makes of both, u + GUIDANCE (c - u), below GUIDED_SIGMA; square and plain.

    Guidance multiplies what the two disagree in. At levels where pixels tell most of the picture both could know it; on
    its own neither learns to agree with the other, and what they disagree in bends outlines and draws halos
    (docs/lab-log.md). Only the unconditional prediction learns from it, to offset the conditional one's errors: that
    one should stay the best that there is, at any guidance. Elsewhere guidance is left out at such levels
    (Kynkäänniemi et al. 2024); upstream does not, and neither should a model that stands for it.
    """
    guided = unconditional.float() + GUIDANCE * (conditional.detach().float() - unconditional.float())
    error = guided - clean[:, None]
    scale = 1 / sigma.clamp(min=SIGMA_FLOOR)
    square, plain = error.square().mean(dim=(2, 3)), error.abs().mean(dim=(2, 3))
    return (ramp(sigma, GUIDED_SIGMA) * scale * (scale * square + CLEAN_WEIGHT * plain)).mean()


def ramp(sigma: Tensor, start: float) -> Tensor:
    """0 at noise levels from `start` up, 1 from half of it down."""
    return ((start - sigma) / (start / 2)).clamp(0, 1)


def principal_components(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Variances by falling size, and their directions as columns, of patches (P, 3072) with mean 0."""
    few = len(centred) < centred.shape[1]  # then the smaller of the two products has the same variances
    centred = centred.double()
    power, axes = torch.linalg.eigh((centred @ centred.T if few else centred.T @ centred) / len(centred))
    power, axes = power.flip(0).clamp(min=1e-8), axes.flip(1)
    if few:
        axes = centred.T @ axes / (power * len(centred)).sqrt()
    return power.float(), axes.float()


@torch.no_grad()
def start_weights(model: O1Transformer, patches: Tensor, seed: int) -> None:
    """Fresh weights: patch embedder and final layer from the PCA of clean `patches` (P, 3072), the blocks silent.

    P is at least the hidden size.
    """
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
    power, axes = principal_components(patches - mean)
    bottleneck = model.config.bottleneck
    whiten = (power[:bottleneck] + 0.25 * NOISE_SCALE**2).rsqrt()
    model.patch_in1.weight.copy_((axes[:, :bottleneck] * whiten).T)
    model.patch_in2.weight.zero_()
    model.patch_in2.weight[:bottleneck].copy_(torch.eye(bottleneck))
    model.patch_in2.weight[bottleneck:].normal_(0, 0.5 * bottleneck**-0.5, generator=generator)
    # queries and keys that are the same at all patches: without them rotation has nothing to tell places by
    model.patch_in2.bias.normal_(0, 1.0, generator=generator)
    model.patch_out.weight.copy_(axes[:, :hidden] * power[:hidden].sqrt() * 0.5)
    model.patch_out.bias.copy_(mean)
