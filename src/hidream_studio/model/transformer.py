"""HiDream-O1-Image: one decoder that reads the prompt and denoises pixels. Knows nothing of files, steps or guidance.

Upstream runs one sequence `[text, tms, patches]` through a Qwen3-VL decoder in which no text token ever sees the tms
token or a patch (upstream models/qwen3_vl_transformers.py `_forward_generation`). So the text's keys and values are the
same in every step: `encode_text` computes them once, and `forward` runs the tms token and the patches alone, with dense
attention over `[text K/V, own K/V]`. Q, K and V are one matrix here, and so are gate and up.

Pictures as input are text too, as tokens before the prompt (`encode_pictures`, once for all prompts), and patches
beside the target's, which see everything and so change in each step. LoRAs stand beside the matrices, per call
(`model/lora.py`): the weights never change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hidream_studio.job.sizes import PATCH_VALUES
from hidream_studio.model.attention import attend, backends
from hidream_studio.model.config import TIMESTEP_FREQUENCIES, ModelConfig
from hidream_studio.model.lora import NO_LORAS, BlockLoras, Loras, LowRank, beside
from hidream_studio.model.positions import prompt_positions, rotary, rotate, step_positions, text_positions
from hidream_studio.model.streaming import Travel
from hidream_studio.model.vision import Grid, VisionTokens

T = TypeVar("T")


@dataclass(frozen=True)
class TextPrefix:
    """What a prompt leaves behind: the keys (already rotated) and values of its tokens, without the tms token."""

    keys: tuple[Tensor, ...]  # per layer (B, T, kv_heads, head_dim), of its own tokens
    values: tuple[Tensor, ...]  # as keys
    before: TextPrefix | None = None  # what stands before them, and is shared with other prompts: pictures
    end: int | None = None  # the position after the last token, where tokens do not count it: with pictures among them

    @property
    def length(self) -> int:
        """T, the number of text tokens, of those before it too."""
        return self.keys[0].shape[1] + (0 if self.before is None else self.before.length)

    @property
    def next_position(self) -> int:
        """Where the next token sits: the rest of the prompt, or the tms token."""
        return self.length if self.end is None else self.end

    @property
    def nbytes(self) -> int:
        """Of its own tokens."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def layer(self, number: int) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer: (B, T, kv_heads, head_dim)."""
        own = self.keys[number], self.values[number]
        if self.before is None:
            return own
        keys, values = (torch.cat(pair, dim=1) for pair in zip(self.before.layer(number), own, strict=True))
        return keys, values


class RunBlocks(Protocol):
    """All blocks at once."""

    def __call__(
        self,
        x: Tensor,  # (B, S, hidden), is overwritten
        cos: Tensor,
        sin: Tensor,
        prefixes: Sequence[TextPrefix],  # B of one prompt each
        wanted: slice | None = None,  # of the S rows
        loras: Sequence[BlockLoras] = (),  # beside each layer, or none
    ) -> Tensor: ...  # (B, S or wanted, hidden)

    def forget(self) -> None:
        """Hold no weights: they are about to move."""

    def look_again(self) -> None:
        """Find the weights where they are now."""


class TimestepEmbedder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear1 = nn.Linear(TIMESTEP_FREQUENCIES, config.hidden_size)
        self.linear2 = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        t: Tensor,  # (B,) float32, 0 is noise, 1 is the picture
        around: Mapping[str, LowRank] | None = None,  # of `Loras`
    ) -> Tensor:  # (B, hidden)
        half = TIMESTEP_FREQUENCIES // 2
        exponent = torch.arange(half, dtype=torch.float32, device=t.device) / half
        angle = (t.float() * 1000)[:, None] * torch.exp(-math.log(10_000) * exponent)
        waves = torch.cat((angle.cos(), angle.sin()), dim=-1).to(self.linear1.weight.dtype)
        changes = around or {}
        wide = F.silu(beside(self.linear1, waves, changes.get("timestep.linear1")))
        return beside(self.linear2, wide, changes.get("timestep.linear2"))


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.hidden_size, config.qkv_size, bias=False)
        self.out = nn.Linear(config.heads * config.head_dim, config.hidden_size, bias=False)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=config.rms_eps)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=config.rms_eps)

    def project(
        self,
        x: Tensor,  # (B, S, hidden)
        cos: Tensor,  # (B, S, 1, head_dim)
        sin: Tensor,
        change: LowRank | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # q (B, S, heads, head_dim); k, v (B, S, kv_heads, head_dim)
        c = self.config
        qkv = beside(self.qkv, x, change)
        q, k, v = torch.split(qkv.view(*x.shape[:-1], -1, c.head_dim), [c.heads, c.kv_heads, c.kv_heads], dim=2)
        return rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin), v


class Block(nn.Module):
    """One decoder layer: the reference for everything faster."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_eps)
        self.attention = Attention(config)
        self.mlp_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_eps)
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.mlp_size, bias=False)
        self.down = nn.Linear(config.mlp_size, config.hidden_size, bias=False)
        self.attend = attend  # training puts one that has gradients in its place

    def forward(
        self,
        x: Tensor,  # (B, S, hidden)
        cos: Tensor,  # (B, S, 1, head_dim)
        sin: Tensor,
        texts: Sequence[tuple[Tensor, Tensor]],  # K and V, (b, T, kv_heads, head_dim): one of b = B, or B of b = 1
        key_mask: Tensor | None = None,  # (B, T + S) bool, with one text
        wanted: slice | None = None,  # of the S rows; the others give keys and values alone
        loras: BlockLoras = NO_LORAS,
    ) -> Tensor:  # (B, S or wanted, hidden)
        """The tms token and the patches: they see the text and each other.

        Texts of different lengths may share everything but the attention itself.
        """
        q, k, v = self.attention.project(self.attention_norm(x), cos, sin, loras.qkv)
        if wanted is not None:
            x, q = x[:, wanted], q[:, wanted]
        attended = [
            self.attend(q_, torch.cat((text_k, k_), dim=1), torch.cat((text_v, v_), dim=1), key_mask=key_mask)
            for (text_k, text_v), q_, k_, v_ in zip(
                texts, q.chunk(len(texts)), k.chunk(len(texts)), v.chunk(len(texts)), strict=True
            )
        ]
        return self._rest(x, attended[0] if len(attended) == 1 else torch.cat(attended), loras)

    def text(
        self,
        x: Tensor,  # (B, T, hidden)
        cos: Tensor,
        sin: Tensor,
        *,
        last: bool,
        before: tuple[Tensor, Tensor] | None = None,  # K and V of what stands before, (B, T', kv_heads, head_dim)
        loras: BlockLoras = NO_LORAS,
    ) -> tuple[Tensor, Tensor, Tensor]:  # x (B, T, hidden); k, v (B, T, kv_heads, head_dim)
        """The text: causal among itself. Of the last layer only keys and values are ever looked at."""
        q, k, v = self.attention.project(self.attention_norm(x), cos, sin, loras.qkv)
        v = v.contiguous()
        if last:
            return x, k, v
        if before is None:
            return self._rest(x, attend(q, k, v, causal=True), loras), k, v
        T, earlier = x.shape[1], before[0].shape[1]
        mask = torch.ones((T, earlier + T), dtype=torch.bool, device=x.device).tril(earlier)
        attended = attend(q, torch.cat((before[0], k), dim=1), torch.cat((before[1], v), dim=1), mask=mask)
        return self._rest(x, attended, loras), k, v

    def _rest(self, x: Tensor, attended: Tensor, loras: BlockLoras) -> Tensor:
        x = x + beside(self.attention.out, attended, loras.out)
        gate, up = beside(self.gate_up, self.mlp_norm(x), loras.gate_up).chunk(2, dim=-1)
        return x + beside(self.down, F.silu(gate) * up, loras.down)


class O1Transformer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.timestep = TimestepEmbedder(config)
        self.patch_in1 = nn.Linear(PATCH_VALUES, config.bottleneck, bias=False)
        self.patch_in2 = nn.Linear(config.bottleneck, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_eps)
        self.patch_out = nn.Linear(config.hidden_size, PATCH_VALUES)
        self.run_blocks: RunBlocks | None = None  # all blocks at once, where a device has something faster
        self.travel: Travel | None = None  # where some blocks come from the host's memory in each pass

    @property
    def device(self) -> torch.device:
        return self.patch_out.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        return self.patch_out.weight.dtype

    def in_turn(self, layers: Iterable[T]) -> Iterable[T]:
        """What stands for each block, one after the other, each when its weights are on the device."""
        return layers if self.travel is None else self.travel.in_turn(layers)

    def embed_text(
        self,
        ids: Tensor,  # (B, T)
    ) -> Tensor:  # (B, T, hidden), on the device, wherever the table is
        embedded: Tensor = self.embed(ids.to(self.embed.weight.device))
        return embedded.to(self.device)

    def encode_text(
        self,
        ids: Tensor,  # (B, T) int64, without the tms token; shorter prompts are padded at the end, with any id
        before: TextPrefix | None = None,  # of `encode_pictures`, with the same LoRAs
        loras: Loras | None = None,
    ) -> TextPrefix:
        """The keys and values of a prompt in every layer.

        Attention is causal, so that what stands after a prompt's last token changes nothing before it: padded rows need
        no mask here, only `prefix_mask` in `forward`.
        """
        start = 0 if before is None else before.next_position
        positions = text_positions(ids.shape[1], ids.device) + start
        keys, values = self._encode(self.embed_text(ids), positions, before, loras=loras)
        return TextPrefix(keys, values, before, None if before is None else start + ids.shape[1])

    def encode_pictures(
        self,
        ids: Sequence[int],  # the prompt up to the end of its last picture
        picture_token: int,  # of ids, once for each token of the pictures
        seen: VisionTokens,
        loras: Loras | None = None,
    ) -> TextPrefix:
        """The keys and values of what stands before a prompt: pictures, as the vision tower saw them."""
        tokens = torch.tensor([ids], device=self.device)
        where = tokens[0] == picture_token
        positions, end = prompt_positions(ids, picture_token, seen.grids, self.device)
        x = self.embed_text(tokens)
        x[:, where] = seen.embeds.to(x.device, x.dtype)
        added = [torch.zeros_like(x[0]).index_put((where,), level.to(x.device, x.dtype)) for level in seen.deepstack]
        keys, values = self._encode(x, positions, None, added, loras)
        return TextPrefix(keys, values, end=end)

    def _encode(
        self,
        x: Tensor,  # (B, T, hidden)
        positions: Tensor,  # (3, 1, T)
        before: TextPrefix | None,
        added: Sequence[Tensor] = (),  # (T, hidden), after each of the first layers (upstream `_deepstack_process`)
        loras: Loras | None = None,
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:  # per layer (B, T, kv_heads, head_dim)
        cos, sin = rotary(positions, self.config, x.dtype)
        keys, values = [], []
        with backends(x.device, masked=before is not None):
            for layer, block in enumerate(self.in_turn(self.blocks)):
                assert isinstance(block, Block)
                known = None if before is None else before.layer(layer)
                last, own = layer == len(self.blocks) - 1, NO_LORAS if loras is None else loras.blocks[layer]
                x, k, v = block.text(x, cos, sin, last=last, before=known, loras=own)
                if layer < len(added):
                    x = x + added[layer]
                keys.append(k)
                values.append(v)
        return tuple(keys), tuple(values)

    def step_rotary(
        self,
        text_ends: Tensor,  # (B,), each prompt's `next_position`
        rows: int,
        cols: int,
        references: Sequence[Grid] = (),
    ) -> tuple[Tensor, Tensor]:  # cos, sin: (B, 1 + rows*cols + those of the references, 1, head_dim)
        """What a step needs to know of positions; the same in all steps of a picture, so it can be kept."""
        return rotary(step_positions(text_ends, rows, cols, references), self.config, self.dtype)

    def embed_patches(
        self,
        patches: Tensor,  # (B, N, 3072)
        loras: Loras | None = None,
    ) -> Tensor:  # (B, N, hidden)
        changes = {} if loras is None else loras.around
        narrow = beside(self.patch_in1, patches.to(self.dtype), changes.get("patch_in1"))
        return beside(self.patch_in2, narrow, changes.get("patch_in2"))

    def forward(
        self,
        patches: Tensor,  # (B, N, 3072), the noisy picture
        t: Tensor,  # (B,) float32, 1 - sigma: 0 is noise, 1 is the picture
        prefix: TextPrefix,  # of B prompts
        rows: int,
        cols: int,
        prefix_mask: Tensor | None = None,  # (B, T) bool, True at a prompt's own tokens; None: all are
    ) -> Tensor:  # (B, N, 3072), the predicted clean picture, in about [-1, 1]
        x = self._tokens(patches, t)
        if prefix_mask is None:
            lengths, key_mask = torch.full((1,), prefix.next_position, device=x.device), None
        else:
            lengths, key_mask = prefix_mask.sum(dim=-1), F.pad(prefix_mask, (0, x.shape[1]), value=True)
        return self._decode(x, self.step_rotary(lengths, rows, cols), [prefix], key_mask)

    def forward_branches(
        self,
        patches: Tensor,  # (1, N, 3072), the noisy picture
        t: Tensor,  # (1,) float32
        prefixes: Sequence[TextPrefix],  # n prompts of one picture: with guidance, its own and the unconditional
        rotary: tuple[Tensor, Tensor],  # of `step_rotary`, for n prompts
        references: Tensor | None = None,  # (1, R, hidden) of `embed_patches`, clean pictures that are looked at
        loras: Loras | None = None,  # those of the prefixes and references
    ) -> Tensor:  # (n, N, 3072), each prompt's prediction
        """All branches of a step in one pass: one picture under several prompts of any lengths, without padding.

        The branches share every matrix product, so that the weights are read once and small pictures fill the device.
        """
        x = self._tokens(patches, t, len(prefixes), references, loras)
        wanted = None if references is None else slice(1, 1 + patches.shape[1])
        return self._decode(x, rotary, prefixes, None, wanted, loras)

    def _tokens(
        self, patches: Tensor, t: Tensor, times: int = 1, references: Tensor | None = None, loras: Loras | None = None
    ) -> Tensor:  # (times * B, 1 + N + R, hidden); B = 1 or once
        tokens = self.embed_patches(patches, loras)
        every = [self.timestep(t, loras and loras.around)[:, None].to(tokens.dtype), tokens]
        if references is not None:
            every.append(references)
        # of one picture, or once: one copy for all branches
        return torch.cat(every * times, dim=1).view(-1, sum(part.shape[1] for part in every), tokens.shape[-1])

    def _decode(
        self,
        x: Tensor,  # (B, S, hidden)
        rotary: tuple[Tensor, Tensor],
        prefixes: Sequence[TextPrefix],
        key_mask: Tensor | None,
        wanted: slice | None = None,  # of the S rows: the target's patches; None: there is only the tms token beside
        loras: Loras | None = None,
    ) -> Tensor:  # (B, N, 3072)
        cos, sin = rotary
        beside_each = () if loras is None else loras.blocks
        with backends(x.device, masked=key_mask is not None):
            if self.run_blocks is not None and key_mask is None and len(prefixes) == x.shape[0]:
                x = self.run_blocks(x, cos, sin, prefixes, wanted, beside_each)
            else:
                for layer, block in enumerate(self.in_turn(self.blocks)):
                    texts = [prefix.layer(layer) for prefix in prefixes]
                    rows = wanted if layer == len(self.blocks) - 1 else None
                    x = block(x, cos, sin, texts, key_mask, rows, beside_each[layer] if beside_each else NO_LORAS)
        x0 = beside(self.patch_out, self.norm(x), None if loras is None else loras.around.get("patch_out"))
        return x0 if wanted is not None else x0[:, 1:]  # leaving the first row out before would copy the rest
