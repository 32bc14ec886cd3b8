"""Which of a model's blocks stay on the device, and which travel to it in each step. Arithmetic: moves nothing."""

from __future__ import annotations

from dataclasses import dataclass

SLOTS = 2  # places on the device for blocks that travel: one is computed with while the next arrives


@dataclass(frozen=True)
class Residency:
    """All blocks of a model, by number, are either here or on their way."""

    layers: int
    travelling: tuple[int, ...] = ()  # in the order of computing; none: everything stays

    @property
    def staying(self) -> int:
        return self.layers - len(self.travelling)

    @property
    def on_device(self) -> int:
        """Blocks' worth of memory that the device gives."""
        return self.staying + (SLOTS if self.travelling else 0)


def fitting(layers: int, places: int) -> Residency | None:
    """The most that stays where the device has memory for `places` blocks; None where it has not enough to stream.

    Those that travel stand evenly between those that stay, so that one arrives while several are computed with. They
    are a multiple of the slots: then each slot is free again when a pass begins anew.
    """
    if places >= layers:
        return Residency(layers)
    if places < SLOTS:
        return None
    count = layers - (places - SLOTS)
    count = min(layers, -(count // -SLOTS) * SLOTS)
    return Residency(layers, tuple(index * layers // count for index in range(count)))
