"""Blocks that travel: kept in the host's memory, and copied to the device ahead of each pass through the model.

Their modules' parameters lie in a few slots on the device, several blocks in one: whoever goes through the blocks by
`in_turn` finds each one's weights there when it comes to it. Copies run on a stream of their own, so that they cost
nothing while the device computes longer than they take. Equal weights by another way: no pixel changes.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

from hidream_studio.model.residency import SLOTS, Residency

ALIGNMENT = 512  # of each tensor in a block's bytes, as torch's own allocator has it

T = TypeVar("T")
Fill = Callable[[int, nn.Module], None]  # reads the weights of the block of that number from its file into a module
Copy = Callable[[Tensor, Tensor], None]  # to, from


def _copy(to: Tensor, source: Tensor) -> None:
    to.copy_(source, non_blocking=True)


def block_bytes(block: nn.Module) -> int:
    """Of a block's parameters as they lie in a slot."""
    return sum(-(parameter.nbytes // -ALIGNMENT) * ALIGNMENT for parameter in block.parameters())


def lay_out(block: nn.Module, flat: Tensor) -> None:
    """Make the block's parameters views of `flat`, (bytes,) uint8, on whichever device that is."""
    first = 0
    for module in block.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            part = flat[first : first + parameter.nbytes].view(parameter.dtype).view(parameter.shape)
            setattr(module, name, nn.Parameter(part, requires_grad=False))
            first += -(parameter.nbytes // -ALIGNMENT) * ALIGNMENT


class _HostBlock:
    """The bytes of one block in the host's memory; pinned where a GPU shall read them by itself."""

    def __init__(self, nbytes: int, *, pinned: bool) -> None:
        # not torch's pinned memory, which takes the next power of two: a third more for blocks of 386 MB
        room = mmap.mmap(-1, nbytes)
        with contextlib.suppress(AttributeError, OSError):  # Linux alone has it, and not everywhere
            room.madvise(mmap.MADV_HUGEPAGE)  # pinned in a fraction of the time
        self.flat = torch.frombuffer(room, dtype=torch.uint8)
        self.pinned = pinned and _pin(self.flat)
        if self.pinned:
            weakref.finalize(self, _unpin, self.flat.data_ptr()).atexit = False  # the system does it faster


def _pin(flat: Tensor) -> bool:
    cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    return int(cudart.cudaHostRegister(flat.data_ptr(), flat.nbytes, 0)) == 0


def _unpin(address: int) -> None:
    torch.cuda.cudart().cudaHostUnregister(address)  # type: ignore[no-untyped-call]


class _Slot:
    """Memory on the device for one block at a time."""

    def __init__(self, nbytes: int, device: torch.device) -> None:
        self.flat = torch.empty(nbytes, dtype=torch.uint8, device=device)
        on_cuda = device.type == "cuda"
        self.arrived = torch.cuda.Event() if on_cuda else None  # type: ignore[no-untyped-call]
        self.left = torch.cuda.Event() if on_cuda else None  # type: ignore[no-untyped-call]


class Travel:
    """The blocks of one model that travel. Passes begin at the first block, one pass at a time.

    Parameters
    ----------
    blocks
        All of the model, their parameters on the meta device where they travel.
    fill
        Given where the host's memory is short, too: each block is then read from its file in each pass.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], residency: Residency, device: torch.device, fill: Fill | None = None
    ) -> None:
        self.residency = residency
        self.copy: Copy = _copy
        self._blocks = blocks
        self._device = device
        self._fill = fill
        self._nbytes = block_bytes(blocks[0])
        self._hosts: dict[int, _HostBlock] = {}
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._slots: list[_Slot] = []  # taken when the first block travels
        self._coming: deque[int] = deque()  # indices of those in the slots, or on their way there
        self._next = 0  # the index that is sent for next
        for number in residency.travelling:
            self._give_host(number)
        self._share_slots()

    @property
    def pinned(self) -> bool:
        """Whether the device copies by itself, at its bus's speed."""
        return self._fill is None and all(host.pinned for host in self._hosts.values())

    @property
    def from_files(self) -> bool:
        return self._fill is not None

    @property
    def pass_bytes(self) -> int:
        """What travels in each pass through the model."""
        return len(self.residency.travelling) * self._nbytes

    def at_home(self, number: int, like: nn.Module) -> nn.Module | None:
        """`like`, of a block's shape, with that block's weights in the host's memory; None where it has none there."""
        if number not in self._hosts:
            return None
        lay_out(like, self._hosts[number].flat)
        return like

    def in_turn(self, layers: Iterable[T]) -> Iterator[T]:
        """What stands for each block, in order: given when the block's weights are there."""
        index_of = {number: index for index, number in enumerate(self.residency.travelling)}
        for number, layer in enumerate(layers):
            index = index_of.get(number)
            if index is None:
                yield layer
                continue
            self._await(index)
            yield layer
            self._leave(index)

    def give_way(self, count: int) -> int:
        """Let so many more blocks travel, or as many as there are. Returns how many did; their memory is free then.

        Whoever looked up their parameters before must do so again.
        """
        staying = [number for number in range(self.residency.layers) if number not in set(self.residency.travelling)]
        if not staying or self._fill is not None:
            return 0
        count = min(count, len(staying))
        chosen = [staying[index * len(staying) // count] for index in range(count)]
        with torch.inference_mode(False):
            for number in chosen:
                self._to_host(number)
            numbers = tuple(sorted((*self.residency.travelling, *chosen)))
            self.residency = Residency(self.residency.layers, numbers)
            self._coming.clear()
            self._share_slots()
        return count

    def _give_host(self, number: int) -> None:
        if self._fill is None:
            self._hosts[number] = _HostBlock(self._nbytes, pinned=self._stream is not None)

    def _to_host(self, number: int) -> None:
        block = self._blocks[number]
        here = [parameter.data for parameter in block.parameters()]
        self._give_host(number)
        lay_out(block, self._hosts[number].flat)
        for there, parameter in zip(block.parameters(), here, strict=True):
            there.data.copy_(parameter)

    def _share_slots(self) -> None:
        if not self._slots and self.residency.travelling:
            self._slots = [_Slot(self._nbytes, self._device) for _ in range(SLOTS)]
        for index, number in enumerate(self.residency.travelling):
            lay_out(self._blocks[number], self._slots[index % SLOTS].flat)

    def _await(self, index: int) -> None:
        """Let the device wait until the block is there."""
        if not self._coming or self._coming[0] != index:  # the last pass was broken off, or this is the first
            self._start_over(index)
        arrived = self._slots[index % SLOTS].arrived
        if arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(arrived)

    def _leave(self, index: int) -> None:
        """All work with the block is under way: after it, its slot is the next one's."""
        self._coming.popleft()
        left = self._slots[index % SLOTS].left
        if left is not None:
            left.record(torch.cuda.current_stream(self._device))
        self._send()

    def _start_over(self, index: int) -> None:
        self._coming.clear()
        self._next = index
        for slot in self._slots:
            if slot.left is not None:
                slot.left.record(torch.cuda.current_stream(self._device))
        self._send()

    def _send(self) -> None:
        """Send for those that come next, as far as their slots are free."""
        count = len(self.residency.travelling)
        while len(self._coming) < SLOTS:
            index = self._next
            if any(index % SLOTS == coming % SLOTS for coming in self._coming):
                return
            self._bring(index)
            self._coming.append(index)
            self._next = (index + 1) % count

    def _bring(self, index: int) -> None:
        number, slot = self.residency.travelling[index], self._slots[index % SLOTS]
        with self._on_stream():
            if self._stream is not None and slot.left is not None:
                self._stream.wait_event(slot.left)
            if self._fill is not None:
                self._fill(number, self._blocks[number])
            else:
                self.copy(slot.flat, self._hosts[number].flat)
            if slot.arrived is not None:
                slot.arrived.record(self._stream)

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
