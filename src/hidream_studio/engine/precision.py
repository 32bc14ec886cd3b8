"""What each precision of a model comes to on a device, and which one is taken where none is asked. Loads nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hidream_studio.engine.budget import Budget, Needs, plan
from hidream_studio.engine.devices import DTYPES, Device, pick_precision
from hidream_studio.errors import DeviceError
from hidream_studio.model.checkpoint import Checkpoint

if TYPE_CHECKING:
    from hidream_studio.settings import Precision

CHOICES: tuple[Precision, ...] = ("bf16", "fp8")  # of a GPU, the better picture first


@dataclass(frozen=True)
class Option:
    """One precision on one device."""

    precision: Precision
    needs: Needs
    budget: Budget | None  # None: it cannot be
    error: DeviceError | None = None  # then why

    @property
    def pass_bytes(self) -> int:
        """What travels in each step."""
        return 0 if self.budget is None else len(self.budget.residency.travelling) * self.needs.block


def option(
    precision: Precision, checkpoint: Checkpoint, device: Device, side_px: int, vram_gib: float | None, *, fused: bool
) -> Option:
    """What it comes to, or why it cannot be; `side_px` is the model's own."""
    fp8 = precision == "fp8"
    needs = Needs.of(
        checkpoint.config, DTYPES[precision], side_px, fp8=fp8, kept_only=not device.has_fp8_products, fused=fused
    )
    try:
        pick_precision(precision, device)
        layers = checkpoint.config.layers
        return Option(precision, needs, plan(needs, layers, device, vram_gib, f"the model in {precision}"))
    except DeviceError as error:
        return Option(precision, needs, None, error)


def choose(options: Sequence[Option], checkpoint: Checkpoint, device: Device) -> tuple[Option, str]:
    """One of `CHOICES`, and why, in a few words.

    Raises
    ------
    DeviceError
        where none can be, with the reason of the last, which needs least.
    """
    able = [one for one in options if one.budget is not None]
    if not able:
        raise options[-1].error or DeviceError("no precision suits this device", field="precision")
    last = able[-1]
    if checkpoint.quantised and last.precision == "fp8" and device.has_fp8_products:
        return last, "its weights are in 8 bits already"
    for one in able:
        if not one.pass_bytes:
            return one, "all of it fits" if one is options[0] else f"{options[0].precision} does not fit whole"
    return last, "the fewest bytes travel"


def pick_option(
    asked: Precision | None,
    checkpoint: Checkpoint,
    device: Device,
    side_px: int,
    vram_gib: float | None,
    *,
    fused: bool,
) -> Option:
    """The precision that was asked for, or that suits the device; it can be had. Raises DeviceError."""
    if asked is not None or device.memory() is None:
        asked = pick_precision(asked, device)
        found = option(asked, checkpoint, device, side_px, vram_gib, fused=fused)
        if found.budget is None:
            raise found.error or DeviceError(f"{asked} cannot be had on {device}", field="precision")
        return found
    options = [option(one, checkpoint, device, side_px, vram_gib, fused=fused) for one in CHOICES]
    chosen, why = choose(options, checkpoint, device)
    logging.getLogger(__name__).info("%s is taken, for %s; --precision says otherwise", chosen.precision, why)
    return chosen
