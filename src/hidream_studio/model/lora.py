"""LoRAs as tensors, beside a model's matrices and never in them. Knows nothing of names, jobs or folders.

`y = W x + up (down x)`: all LoRAs of a picture are one pair of products a matrix, strengths and alphas folded in, so
that jobs with different LoRAs share one model. Q, K and V are one matrix here, and so are gate and up: their halves
stand in one pair too, each in its own rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hidream_studio.errors import CheckpointError, LoraError
from hidream_studio.model.config import ModelConfig, VisionConfig
from hidream_studio.model.fp8 import quantise, scaled_product
from hidream_studio.model.layout import Slot, slots, vision_slots
from hidream_studio.model.lora_file import LoraFile, LoraPair
from hidream_studio.model.reading import TYPES, read_pieces

RANKS_TOGETHER = 16  # products in 8 bits take whole sixteens, those in 16 bits are faster with whole eights


@dataclass(frozen=True, slots=True)
class LowRank:
    """What stands beside one matrix."""

    down: Tensor  # (in, R), R the ranks of all LoRAs together
    up: Tensor  # (R, out), scales in it
    down8: tuple[Tensor, Tensor] | None = None  # (in, R) e4m3 and its scale (1, R), where the matrix is FP8 too

    def add_to(
        self,
        y: Tensor,  # (..., out), is overwritten
        x: Tensor,  # (..., in), what the matrix was multiplied with
    ) -> Tensor:  # y
        y.view(-1, y.shape[-1]).addmm_(x.reshape(-1, x.shape[-1]) @ self.down, self.up)
        return y

    def narrow(self, rows: Tensor | tuple[Tensor, Tensor]) -> Tensor:  # (M, R)
        """The first product of rows (M, in), or of quantised ones and their scale."""
        if isinstance(rows, Tensor):
            return torch.mm(rows, self.down)
        assert self.down8 is not None
        return scaled_product(rows[0], rows[1], self.down8[0], self.down8[1], self.up.dtype)

    @property
    def nbytes(self) -> int:
        quantised = 0 if self.down8 is None else sum(part.nbytes for part in self.down8)
        return self.down.nbytes + self.up.nbytes + quantised


def beside(linear: nn.Module, x: Tensor, change: LowRank | None) -> Tensor:
    """The linear layer's product, and that of the LoRAs beside it where there are some."""
    y: Tensor = linear(x)
    return y if change is None else change.add_to(y, x)


@dataclass(frozen=True, slots=True)
class BlockLoras:
    """Beside one block's matrices."""

    qkv: LowRank | None = None
    out: LowRank | None = None
    gate_up: LowRank | None = None
    down: LowRank | None = None


NO_LORAS = BlockLoras()
IN_BLOCK = {"qkv": "attention.qkv", "out": "attention.out", "gate_up": "gate_up", "down": "down"}


@dataclass(frozen=True)
class Loras:
    """All that a picture's LoRAs change, stacked for one model."""

    key: Hashable  # equal keys, equal changes
    blocks: tuple[BlockLoras, ...]
    around: Mapping[str, LowRank]  # by parameter without ".weight": "patch_in1", "timestep.linear2" …
    nbytes: int


@dataclass(frozen=True)
class LoraTensors:
    """A file's matrices on the host, as they are stored."""

    file: LoraFile
    tensors: Mapping[str, tuple[Tensor, Tensor]]  # by `LoraPair.module`: down (r, in), up (out, r)

    @property
    def nbytes(self) -> int:
        return sum(down.nbytes + up.nbytes for down, up in self.tensors.values())


def load_lora(file: LoraFile) -> LoraTensors:
    """Read the pairs of a file that `read_lora` found to be good.

    Raises
    ------
    LoraError
        when it can no longer be read, or holds what is no number.
    """
    pairs = (*file.pairs, *file.vision_pairs)
    stored = {f"{pair.module}.{half}": getattr(pair, half) for pair in pairs for half in ("down", "up")}
    values = {key: torch.empty(tensor.shape, dtype=TYPES[tensor.dtype]) for key, tensor in stored.items()}
    in_order = sorted(stored.items(), key=lambda item: item[1].offset)
    try:
        for piece in read_pieces(in_order, torch.device("cpu")):
            values[piece.key][piece.first_row : piece.first_row + piece.rows.shape[0]] = piece.rows
    except CheckpointError as error:
        raise LoraError(error.message) from error
    for key, tensor in values.items():
        if not bool(tensor.isfinite().all()):
            raise LoraError(f"{file.path.name}: {key} holds NaN or infinite values; the file may be damaged")
    return LoraTensors(
        file, {pair.module: (values[f"{pair.module}.down"], values[f"{pair.module}.up"]) for pair in pairs}
    )


Used = tuple[LoraTensors, float]  # a LoRA and its strength


def stack(
    used: Sequence[Used],
    config: ModelConfig,
    key: Hashable,
    device: torch.device,
    dtype: torch.dtype,
    *,
    fp8: bool = False,  # whether the blocks' matrices are
) -> Loras:
    """All of these LoRAs beside one model's matrices, on its device."""
    parts = [(tensors, strength, tensors.file.pairs) for tensors, strength in used]
    found = _stacked(parts, slots(config), device, dtype, fp8)
    nbytes = sum(change.nbytes for change in found.values())
    blocks = tuple(
        BlockLoras(**{name: found.pop(f"blocks.{layer}.{there}", None) for name, there in IN_BLOCK.items()})
        for layer in range(config.layers)
    )
    return Loras(key, blocks, found, nbytes)


def stack_vision(
    used: Sequence[Used], config: VisionConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, LowRank]:
    """The same beside a vision tower's matrices: by parameter without ".weight".

    Raises
    ------
    LoraError
        when a LoRA does not fit this tower.
    """
    parts = [(tensors, strength, tensors.file.vision_pairs) for tensors, strength in used]
    return _stacked(parts, vision_slots(config), device, dtype, fp8=False)


def stacked_bytes(files: Iterable[LoraFile], config: ModelConfig, value_bytes: int, *, fp8: bool = False) -> int:
    """What `stack` takes of the device, counted from the headers alone."""
    by_key = {slot.key: slot for slot in slots(config)}
    rows = _rows(by_key.values())
    ranks: dict[str, int] = {}
    widths: dict[str, int] = {}
    for pair in (pair for file in files for pair in file.pairs):
        parameter = by_key[_key(pair)].parameter
        ranks[parameter] = ranks.get(parameter, 0) + pair.rank
        widths[parameter] = pair.down.shape[1]
    total = 0
    for parameter, rank in ranks.items():
        eighth = 1 if fp8 and parameter.startswith("blocks.") else 0
        total += _padded(rank) * (value_bytes * rows[parameter] + (value_bytes + eighth) * widths[parameter])
        total += _padded(rank) * 4 * eighth
    return total


Part = tuple[LoraTensors, float, Sequence[LoraPair]]


def _stacked(
    parts: Sequence[Part], places: Iterable[Slot], device: torch.device, dtype: torch.dtype, fp8: bool
) -> dict[str, LowRank]:
    by_key = {slot.key: slot for slot in places}
    rows = _rows(by_key.values())
    beside_each: dict[str, list[tuple[Slot, Tensor, Tensor]]] = {}
    for tensors, strength, pairs in parts:
        for pair in pairs:
            down, up = (half.to(device) for half in tensors.tensors[pair.module])
            place = by_key.get(_key(pair))
            if place is None or place.shape != (up.shape[0], down.shape[1]):
                raise LoraError(f"{tensors.file.path.name} does not fit this model's {pair.module}")
            scaled = up.float() * (strength * pair.alpha / pair.rank)
            beside_each.setdefault(place.parameter, []).append((place, down.to(dtype), scaled.to(dtype)))
    return {
        parameter.removesuffix(".weight"): _side_by_side(
            changes, rows[parameter], fp8 and parameter.startswith("blocks.")
        )
        for parameter, changes in beside_each.items()
    }


def _side_by_side(changes: Sequence[tuple[Slot, Tensor, Tensor]], rows: int, fp8: bool) -> LowRank:
    """One pair of products for all of them: each has its own columns between, and writes to its own rows."""
    like, ranks = changes[0][1], _padded(sum(down.shape[0] for _, down, _ in changes))
    downs, ups = like.new_zeros((ranks, like.shape[1])), like.new_zeros((rows, ranks))
    first = 0
    for slot, down, up in changes:
        last = first + down.shape[0]
        downs[first:last] = down
        ups[slot.first_row : slot.first_row + up.shape[0], first:last] = up
        first = last
    if not fp8:
        return LowRank(downs.t(), ups.t())
    down8, scale = quantise(downs)
    return LowRank(downs.t(), ups.t(), (down8.t(), scale.t()))


def _rows(places: Iterable[Slot]) -> dict[str, int]:
    """Of each parameter."""
    rows: dict[str, int] = {}
    for slot in places:
        rows[slot.parameter] = max(rows.get(slot.parameter, 0), slot.first_row + slot.shape[0])
    return rows


def _padded(ranks: int) -> int:
    return -(ranks // -RANKS_TOGETHER) * RANKS_TOGETHER


def _key(pair: LoraPair) -> str:
    return f"model.{pair.module}.weight"
