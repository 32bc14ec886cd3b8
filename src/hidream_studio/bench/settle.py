"""Wishes meet a server: what each would become, which are one, and what each is measured against. Draws nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hidream_studio.bench.client import ImageServer, Recipe, Request
from hidream_studio.bench.plan import OFFICIAL, Asked, Plan, Resolved, Setting, Variant, Wishes, same_shape
from hidream_studio.errors import RequestError

DEFAULT_STEPS = (20, 28, 36)  # beside the profile's own; the range of the presets
# of a server's self-description: with another of these, times are no longer comparable
IDENTITY_KEYS = (
    "version", "model", "profile", "device", "precision", "fingerprint", "numeric_path", "models", "shape", "torch",
    "driver",
)  # fmt: skip


@dataclass(frozen=True)
class Settled:
    plan: Plan
    notes: tuple[str, ...]  # what the user should know before reading the numbers, a sentence each


def settle(wishes: Wishes, server: ImageServer, identity: dict[str, Any]) -> Settled:
    """The plan of a run on this server.

    Raises
    ------
    RequestError
        when the server refuses a size or a value; names it.
    """
    official = server.official()
    variants = wishes.variants or _default_variants(official)
    sizes = wishes.sizes or (official.size,)
    table = _Table(wishes, server)
    for size in sizes:
        for variant in variants:
            table.add(variant, size, snap_resolution=wishes.fixed.snap_resolution, wished=True)
    notes = [*_merged_notes(table.settings())]
    notes += _pair_with_references(table, wishes, official, variants)
    settings = table.settings()
    notes += _noise_notes(settings, wishes)
    notes += _warnings(settings)
    known = {key: identity[key] for key in IDENTITY_KEYS if key in identity}
    return Settled(Plan(replace(wishes, variants=tuple(variants), sizes=tuple(sizes)), settings, known), tuple(notes))


class _Table:
    """Settings by what is rendered, in the order in which they were wished."""

    def __init__(self, wishes: Wishes, server: ImageServer) -> None:
        self._wishes = wishes
        self._server = server
        self._by_id: dict[str, Setting] = {}

    def add(self, variant: Variant, size: Asked, *, snap_resolution: bool, wished: bool) -> Setting:
        resolved = self._resolve(variant, size, snap_resolution)
        setting_id = f"{resolved.width}x{resolved.height}_s{resolved.steps}_g{resolved.guidance_scale:g}"
        name = f"{variant.name} at {size[0]}x{size[1]}"
        known = self._by_id.get(setting_id)
        if known is None:
            known = Setting(setting_id, variant, size, resolved, snap_resolution, (name,), wished=wished)
        elif wished and name not in known.names:
            known = replace(known, names=(*known.names, name), wished=True)
        self._by_id[setting_id] = known
        return known

    def change(self, setting: Setting) -> None:
        self._by_id[setting.id] = setting

    def settings(self) -> tuple[Setting, ...]:
        return tuple(self._by_id.values())

    def _resolve(self, variant: Variant, size: Asked, snap_resolution: bool) -> Resolved:
        request = Request(self._wishes.prompts[0].text, self._wishes.seeds[0], variant, size, snap_resolution)
        try:
            resolved = self._server.resolve(request)
        except RequestError as error:
            what = f"variant {variant.name} at size {size[0]}x{size[1]}"
            raise RequestError(f"{what}: {error.message}", field=error.field, limit=error.limit) from error
        if resolved is not None:
            return resolved
        return Resolved(*size, variant.steps, variant.guidance_scale, cfg=variant.guidance_scale > 1)


def _default_variants(official: Recipe) -> tuple[Variant, ...]:
    steps = sorted({*(s for s in DEFAULT_STEPS if s < official.steps), official.steps})
    return tuple(Variant(f"s{s}_g{official.guidance_scale:g}", s, official.guidance_scale) for s in steps)


def _merged_notes(settings: Iterable[Setting]) -> list[str]:
    """One line for each set of sizes that are rendered as one."""
    asked_by_size: dict[Asked, list[str]] = {}
    for setting in settings:
        for name in setting.names:
            asked = name.rpartition(" ")[2]
            if asked not in asked_by_size.setdefault(setting.size, []):
                asked_by_size[setting.size].append(asked)
    return [
        f"{', '.join(asked[:-1])} and {asked[-1]} are both rendered as {size[0]}x{size[1]}: measured once "
        "(--no-snap-resolution renders them as asked)"
        for size, asked in asked_by_size.items()
        if len(asked) > 1
    ]


def _pair_with_references(table: _Table, wishes: Wishes, official: Recipe, variants: tuple[Variant, ...]) -> list[str]:
    """Every wished setting learns the one that it is measured against."""
    if wishes.reference is None:
        return ["no reference was asked for, so no loss is measured"]
    notes = []
    wished = table.settings()
    for setting in wished:
        variant, size, snap = _reference_request(setting, wished, wishes, official, variants)
        reference = table.add(variant, size, snap_resolution=snap, wished=False)
        table.change(replace(reference, is_reference=True))
        if same_shape(setting.size, reference.size):
            current = next(s for s in table.settings() if s.id == setting.id)
            table.change(replace(current, reference_id=reference.id))
        else:
            notes.append(
                f"{_size(setting.size)} has another shape than its reference {_size(reference.size)}: no loss measured"
            )
    return sorted(set(notes))


def _reference_request(
    setting: Setting, wished: tuple[Setting, ...], wishes: Wishes, official: Recipe, variants: tuple[Variant, ...]
) -> tuple[Variant, Asked, bool]:
    """(variant, asked size, snap) of the setting's reference."""
    choice = wishes.reference
    assert choice is not None
    same = [other for other in wished if same_shape(other.size, setting.size)]
    largest = max(same, key=lambda other: other.area).asked
    if choice.variant != OFFICIAL:
        variant = next(v for v in variants if v.name == choice.variant)
        return variant, choice.size or largest, wishes.fixed.snap_resolution
    if wishes.api == "openai":  # no recipe is known there: the most careful of what was asked for
        best = max(variants, key=lambda v: (v.steps, v.guidance_scale))
        return best, choice.size or largest, wishes.fixed.snap_resolution
    return Variant(OFFICIAL, official.steps, official.guidance_scale), choice.size or setting.asked, True


def _warnings(settings: tuple[Setting, ...]) -> list[str]:
    """The server's warnings about sizes that it draws all the same, one line for each reason."""
    sizes_by_reason: dict[str, list[str]] = {}
    for setting in settings:
        for note in setting.resolved.notes:
            size, colon, reason = note.removeprefix("size ").partition(": ")
            if note.startswith("size ") and colon and size not in sizes_by_reason.setdefault(reason, []):
                sizes_by_reason[reason].append(size)
    return [f"{', '.join(sizes)}: {reason}" for reason, sizes in sizes_by_reason.items()]


def _noise_notes(settings: tuple[Setting, ...], wishes: Wishes) -> list[str]:
    by_id = {setting.id: setting for setting in settings}
    differing = sorted(
        {
            _size(setting.size)
            for setting in settings
            if setting.reference_id is not None and by_id[setting.reference_id].size != setting.size
        }
    )
    if not differing:
        return []
    if wishes.fixed.noise == "linked":
        return [f"{', '.join(differing)}: brought to the reference's size for comparison; linked noise makes them akin"]
    return [
        f"{', '.join(differing)}: plain seeds give other noise at another size, so these are other pictures and their "
        "loss against the reference means little; --noise linked makes sizes comparable"
    ]


def _size(size: Asked) -> str:
    return f"{size[0]}x{size[1]}"
