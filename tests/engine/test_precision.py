"""Which precision is taken on which card, and what others are told. Fakes stand for the cards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import torch

from hidream_studio.engine.devices import GIB, Device, Memory, pick_device, pick_precision
from hidream_studio.engine.precision import CHOICES, choose, option
from hidream_studio.engine.rates import Rates, measure, preset_seconds
from hidream_studio.errors import DeviceError, OutOfMemoryError
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.workload import SHAPE_8B, forward_flop
from hidream_studio.model.checkpoint import Checkpoint
from hidream_studio.model.config import CONFIG_8B


@dataclass(frozen=True)
class Card(Device):
    gib: float = 24.0
    generation: tuple[int, int] = (8, 9)

    def memory(self) -> Memory:
        return Memory(int(self.gib * GIB), int(self.gib * GIB))

    @property
    def capability(self) -> tuple[int, int]:
        return self.generation

    @property
    def name(self) -> str:
        return f"a card of {self.generation}"


def card(gib: float, generation: tuple[int, int] = (8, 9)) -> Card:
    return Card(torch.device("cuda:0"), gib, generation)


@pytest.fixture(autouse=True)
def host_of_64_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(available=64 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


@pytest.fixture
def big() -> Checkpoint:
    return Checkpoint(Path(), "8B", CONFIG_8B, {}, "")


def taken(checkpoint: Checkpoint, device: Card, vram: float | None = None) -> tuple[str, str, int]:
    options = [option(one, checkpoint, device, 2048, vram, fused=True) for one in CHOICES]
    chosen, why = choose(options, checkpoint, device)
    assert chosen.budget is not None
    return chosen.precision, why, len(chosen.budget.residency.travelling)


def test_the_best_precision_that_fits_whole_is_taken_and_else_the_lightest(big: Checkpoint) -> None:
    assert taken(big, card(24)) == ("bf16", "all of it fits", 0)
    assert taken(big, card(12)) == ("fp8", "bf16 does not fit whole", 0)
    assert taken(big, card(24, (8, 6))) == ("bf16", "all of it fits", 0)
    precision, why, travelling = taken(big, card(6))
    assert (precision, why) == ("fp8", "the fewest bytes travel")
    assert travelling > 0
    assert taken(big, card(80), vram=6.0)[0] == "fp8"


def test_weights_that_are_in_8_bits_stay_so_where_products_are(
    big: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "quantised", True)
    assert taken(big, card(80))[:2] == ("fp8", "its weights are in 8 bits already")
    assert taken(big, card(80, (8, 6)))[0] == "bf16"


def test_a_card_that_is_too_small_for_all_is_told_the_least(big: Checkpoint) -> None:
    with pytest.raises(OutOfMemoryError, match="the model in fp8 needs"):
        taken(big, card(2))


def test_ampere_keeps_fp8_weights_and_turing_is_refused_by_name(big: Checkpoint) -> None:
    assert pick_precision("fp8", card(8, (8, 6))) == "fp8"
    assert not card(8, (8, 6)).has_fp8_products
    for name, words in (("fp8", "has no bf16 and so no fp8 either"), ("bf16", "has no bf16"), (None, "has no bf16")):
        with pytest.raises(DeviceError, match=words) as refusal:
            pick_precision(name, card(8, (7, 5)))  # type: ignore[arg-type]
        assert "a card of (7, 5)" in refusal.value.message
    with pytest.raises(DeviceError, match="has no bf16 and so no fp8 either"):
        taken(big, card(24, (7, 5)))


def test_restoring_weights_that_are_only_kept_takes_memory_of_its_own(big: Checkpoint) -> None:
    ada, ampere = (option("fp8", big, card(24, one), 2048, None, fused=True) for one in ((8, 9), (8, 6)))
    assert ampere.needs.step - ada.needs.step == 2 * 12288 * 4096 * 2
    assert replace(ampere.needs, step=ada.needs.step) == ada.needs


def test_other_makers_take_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="torch finds no Apple GPU here"):
        pick_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    apple = pick_device("mps")
    assert (apple.is_gpu, apple.capability, apple.memory(), apple.attention("bf16")) == (True, None, None, "sdpa")
    assert pick_precision(None, apple) == pick_precision("bf16", apple) == "bf16"
    with pytest.raises(DeviceError, match="fp8 needs an NVIDIA GPU, from Ampere on, not mps"):
        pick_precision("fp8", apple)
    monkeypatch.setattr(torch.version, "hip", "6.3")
    amd = Device(torch.device("cuda:0"))
    assert amd.capability is None
    assert not amd.has_fp8_products
    assert pick_precision(None, amd) == "bf16"


def test_what_travels_and_what_is_computed_hide_behind_each_other(big: Checkpoint) -> None:
    rates = Rates(400e12, 25e9)
    assert rates.step_s(3e14, 0) == pytest.approx(1.0)
    assert rates.step_s(3e14, 25 * 10**8) == pytest.approx(1.0)
    assert rates.step_s(3e14, 50 * 10**9) == pytest.approx(2.0)
    small, large = (option("fp8", big, card(gib), 2048, None, fused=True) for gib in (6, 24))
    slow, fast = (preset_seconds(one, rates, HIDREAM_O1_IMAGE, SHAPE_8B) for one in (small, large))
    assert fast["official"] == pytest.approx(50 * 2 * forward_flop(SHAPE_8B, 4096, 20) / (400e12 * 0.75), rel=0.01)
    assert slow["quick"] > 2 * fast["quick"]  # the bus is what a small picture waits for
    assert slow["official"] == fast["official"]


def test_a_devices_rate_is_measured() -> None:
    assert measure("fp32", Device(torch.device("cpu"))).flop_s > 1e8
