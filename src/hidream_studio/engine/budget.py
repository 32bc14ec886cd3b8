"""What of a device's memory is for weights, and what else a step needs; and fewer weights there where it runs out.

Knows nothing of jobs. A prompt's keys and values, z, and the largest step of the model's own size count before weights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import psutil
import torch

from hidream_studio.engine.devices import GIB, MIB, Device, Memory, is_out_of_memory
from hidream_studio.errors import DeviceError, OutOfMemoryError
from hidream_studio.job.sizes import PATCH_PX
from hidream_studio.model.config import ModelConfig
from hidream_studio.model.residency import SLOTS, Residency, fitting
from hidream_studio.model.streaming import block_bytes
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import empty_model, make_room

if TYPE_CHECKING:
    from hidream_studio.settings import Precision

OWN_BYTES = 700 * MIB  # of a process on a GPU beside its tensors: CUDA's context, its libraries and kernels
RESERVE_BYTES = 768 * MIB  # left free by `auto`: libraries and kernels that are loaded later, and the desktop
HOST_RESERVE_BYTES = 2 * GIB  # of this machine's memory, for everything else
KEPT_BYTES = 384 * MIB  # prompts and begun pictures that a device keeps beside the step, where blocks travel
GIVEN_AT_ONCE_BYTES = int(1.5 * GIB)  # of weights that make room where memory runs out all the same
EAGER_SHARE = 1.4  # of the fused blocks' memory in a step; measured, as is that (docs/lab-log.md)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Needs:
    """What a model takes of a device, in bytes."""

    block: int  # each
    beside: int  # weights outside the blocks that must be there
    words: int  # the table of the words' embeddings, which stays in the host's memory where blocks travel
    step: int  # the tensors of the largest step of the model's own size, with guidance, and its z

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        dtype: torch.dtype,
        side_px: int,
        *,
        fp8: bool,
        kept_only: bool = False,
        fused: bool = True,
    ) -> Needs:
        model = empty_model(config, "meta", dtype, fp8=fp8)
        block = block_bytes(model.blocks[0])
        words = model.embed.weight.nbytes
        whole = sum(parameter.nbytes for parameter in model.parameters())
        in_blocks = sum(parameter.nbytes for parameter in model.blocks.parameters())
        step = _step_bytes(config, dtype.itemsize, side_px)
        if kept_only:
            step += 2 * config.mlp_size * config.hidden_size * dtype.itemsize  # the largest matrix, restored
        return cls(block, whole - in_blocks - words, words, step if fused else int(step * EAGER_SHARE))

    def whole(self, layers: int) -> int:
        """With all blocks on the device."""
        return layers * self.block + self.beside + self.words + self.step

    @property
    def least(self) -> int:
        """With all blocks travelling."""
        return SLOTS * self.block + self.beside + self.step + KEPT_BYTES


def _step_bytes(config: ModelConfig, value_bytes: int, side_px: int) -> int:
    c, patches = config, (side_px // PATCH_PX) ** 2
    row = 3 * c.mlp_size + 3 * c.hidden_size + c.qkv_size + (c.heads + 2 * c.kv_heads) * c.head_dim
    state = patches * PATCH_PX**2 * 3 * 4  # float32
    return 2 * (patches + 1) * row * value_bytes + 6 * state


@dataclass(frozen=True)
class Budget:
    """Which blocks stay and which travel, within which memory."""

    residency: Residency
    from_files: bool = False  # what travels is read from its files in each step: the host's memory is short, too
    tensor_bytes: int | None = None  # the limit for all tensors on the device, where one was given
    kept_bytes: int | None = None  # of prompts and begun pictures beside the one that is drawn; None: enough


def plan(needs: Needs, layers: int, device: Device, vram_gib: float | None, what: str) -> Budget:
    """The most that stays on the device.

    Parameters
    ----------
    vram_gib
        The most that this process may take of the device; None: what is free, less a reserve.

    Raises
    ------
    OutOfMemoryError
        where not even a model whose blocks travel fits.
    DeviceError
        where a limit is given, and the device has no memory of its own.
    """
    memory = device.memory()
    if memory is None:
        if vram_gib is not None:
            raise DeviceError(f"--vram limits a GPU's own memory; {device} has none", field="vram")
        return Budget(Residency(layers))
    limit = None if vram_gib is None else int(vram_gib * GIB) - OWN_BYTES
    room = room_for_tensors(memory, vram_gib)
    if needs.whole(layers) <= room:
        return Budget(Residency(layers), tensor_bytes=limit)
    residency = fitting(layers, max(0, room - needs.least) // needs.block + SLOTS) if needs.least <= room else None
    if residency is None:
        least = (needs.least + (OWN_BYTES if limit is not None else RESERVE_BYTES)) / GIB
        has = f"{memory.free / GIB:.1f} GiB are free" if limit is None else f"--vram gives it {vram_gib:g} GiB"
        raise OutOfMemoryError(f"{what} needs {least:.1f} GiB on {device} even with all its weights elsewhere; {has}")
    on_host = len(residency.travelling) * needs.block + needs.words
    from_files = on_host + HOST_RESERVE_BYTES > psutil.virtual_memory().available
    return Budget(residency, from_files, limit, KEPT_BYTES)


def room_for_tensors(memory: Memory, vram_gib: float | None) -> int:
    """Of what is free, in bytes."""
    if vram_gib is None:
        return memory.free - RESERVE_BYTES
    return min(int(vram_gib * GIB) - OWN_BYTES, memory.free)


def told(model: O1Transformer, device: Device, precision: Precision) -> str | None:
    """In one line what travels, from where, and what that costs; None where everything stays."""
    travel = model.travel
    if travel is None or not travel.residency.travelling:
        return None
    residency, gib = travel.residency, travel.pass_bytes / GIB
    if travel.from_files:
        price = "read from its files in each step, for this machine's memory is short, too: as slow as the disk may be"
    elif travel.pinned or not device.is_gpu:
        price = "copied ahead of the step"
    else:
        price = "copied from memory that could not be pinned, at about half the bus's speed"
    return (
        f"{precision}: {residency.staying} of {residency.layers} blocks stay on {device}, "
        f"{len(residency.travelling)} travel: {gib:.1f} GiB a step, {price}"
    )


class Room:
    """Where memory runs out: fewer blocks on the device, and once more."""

    def __init__(self, model: O1Transformer, device: Device, precision: Precision) -> None:
        self._model = model
        self._device = device
        self._precision = precision

    def once_more(self, compute: Callable[[], Answer]) -> Answer:
        """What `compute` gives; where it runs out of memory, what it gives when blocks have made room."""
        try:
            return compute()
        except (RuntimeError, OutOfMemoryError) as error:
            if not self._ran_out(error) or not self.can_give:
                raise
        self._give()  # out here the error is gone, and with it the tensors that its traceback held
        return compute()

    @property
    def can_give(self) -> bool:
        travel = self._model.travel
        if self._device.memory() is None:
            return False
        return travel is None or (travel.residency.staying > 0 and not travel.from_files)

    def _ran_out(self, error: BaseException) -> bool:
        return isinstance(error, OutOfMemoryError) or is_out_of_memory(error)

    def _give(self) -> None:
        self._device.empty_cache()
        each = block_bytes(self._model.blocks[0])
        moved = make_room(self._model, -(GIVEN_AT_ONCE_BYTES // -each) + SLOTS)
        line = told(self._model, self._device, self._precision)
        logging.getLogger(__name__).warning("memory ran out; %d more blocks make room. %s", moved, line)
