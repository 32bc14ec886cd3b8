"""What a run will measure: every variant at every size, prompt and seed, each setting once. Asks no server.

A setting is what is rendered, not what was asked: two sizes that snapping makes one are one setting with two names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hidream_studio.bench.suites import Prompt
from hidream_studio.errors import RequestError
from hidream_studio.job.request import MAX_GUIDANCE, MAX_SEED, MAX_STEPS
from hidream_studio.job.sizes import MAX_ASKED_SIDE_PX, PATCH_PX, read_size

Api = Literal["studio", "openai"]
Asked = tuple[int, int]  # width, height in px, as asked

OFFICIAL = "official"  # the variant of the profile's own recipe, and the default reference
NO_REFERENCE = "none"
SAME_SHAPE = 0.03  # aspect ratios this close are compared


@dataclass(frozen=True)
class Variant:
    """A name for steps and guidance, as `--variant NAME,STEPS,GUIDANCE` gives it."""

    name: str
    steps: int
    guidance_scale: float


@dataclass(frozen=True)
class Fixed:
    """What is held constant over a run. None: the server's default."""

    snap_resolution: bool = True
    noise: Literal["upstream", "linked"] | None = None
    sampler: Literal["unipc", "euler"] | None = None
    recipe: Literal["full", "dev"] | None = None
    negative_prompt: str | None = None
    model: str | None = None  # of --api openai, where the server wants one


@dataclass(frozen=True)
class ReferenceChoice:
    """`--reference VARIANT[@WxH]`, or none."""

    variant: str = OFFICIAL
    size: Asked | None = None


@dataclass(frozen=True)
class Wishes:
    """The command line's wishes, checked on their own and not yet against a server."""

    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]  # empty: the server's presets say which
    sizes: tuple[Asked, ...]  # empty: the model's native square
    fixed: Fixed
    reference: ReferenceChoice | None
    api: Api = "studio"


@dataclass(frozen=True)
class Resolved:
    """What a server makes of one request."""

    width: int
    height: int
    steps: int
    guidance_scale: float
    cfg: bool
    notes: tuple[str, ...] = ()  # what the server changed or warned of, a sentence each


@dataclass(frozen=True)
class Setting:
    """One row of the report: what is rendered, under every name that asked for it."""

    id: str  # short, fit for a file name
    variant: Variant
    asked: Asked
    resolved: Resolved
    snap_resolution: bool
    names: tuple[str, ...] = ()  # every "variant at WxH" that became this
    is_reference: bool = False
    reference_id: str | None = None  # the setting that this one's loss is measured against
    wished: bool = True  # False: measured only because it is a reference

    @property
    def size(self) -> Asked:
        return self.resolved.width, self.resolved.height

    @property
    def area(self) -> int:
        return self.resolved.width * self.resolved.height

    @property
    def image_tokens(self) -> int:
        return (self.resolved.width // PATCH_PX) * (self.resolved.height // PATCH_PX)


@dataclass(frozen=True)
class Shot:
    """One picture to be measured."""

    setting: Setting
    prompt_index: int
    seed: int
    repeat: int

    @property
    def key(self) -> str:
        return f"{self.setting.id}/p{self.prompt_index:02d}/s{self.seed}/r{self.repeat}"

    @property
    def picture_key(self) -> str:
        """Repeats share a picture: same request, same pixels."""
        return f"{self.setting.id}_p{self.prompt_index:02d}_s{self.seed}"


@dataclass(frozen=True)
class Plan:
    wishes: Wishes
    settings: tuple[Setting, ...]
    server: dict[str, Any] = field(default_factory=dict)  # what makes its times comparable: device, model, path

    def setting(self, setting_id: str) -> Setting:
        return next(setting for setting in self.settings if setting.id == setting_id)

    def identity(self) -> dict[str, Any]:
        """What has to be equal for two runs to be one, in JSON's own types."""
        values = {"wishes": asdict(self.wishes), "settings": [s.id for s in self.settings], "server": self.server}
        identity: dict[str, Any] = json.loads(json.dumps(values))
        return identity

    def short_hash(self) -> str:
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse_variant(text: str) -> Variant:
    """`NAME,STEPS,GUIDANCE`, e.g. s20_g5,20,5.

    Raises
    ------
    RequestError
        naming what does not fit.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not re.fullmatch(r"[\w.+-]{1,40}", parts[0]):
        raise RequestError(
            f"--variant {text!r} is not NAME,STEPS,GUIDANCE with a name of letters, digits and _ . + -, "
            "as in s20_g5,20,5", field="variant",
        )  # fmt: skip
    if not re.fullmatch(r"[0-9]+", parts[1]) or not 1 <= int(parts[1]) <= MAX_STEPS:
        raise RequestError(
            f"--variant {text!r}: steps are {parts[1]!r}; they must be a whole number from 1 to {MAX_STEPS}",
            field="variant", limit=[1, MAX_STEPS],
        )  # fmt: skip
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", parts[2]) or float(parts[2]) > MAX_GUIDANCE:
        raise RequestError(
            f"--variant {text!r}: guidance is {parts[2]!r}; it must be a number from 0 to {MAX_GUIDANCE:g}",
            field="variant", limit=[0, MAX_GUIDANCE],
        )  # fmt: skip
    if parts[0] in (OFFICIAL, NO_REFERENCE):
        raise RequestError(f"--variant {text!r}: the name {parts[0]!r} is taken by --reference", field="variant")
    return Variant(parts[0], int(parts[1]), float(parts[2]))


def parse_size(text: str, option: str = "--size") -> Asked:
    """`WxH` in px. The server's own limits are the server's to check."""
    sides = read_size(text)
    if sides is None:
        raise RequestError(f"{option} {text!r} is not WIDTHxHEIGHT in pixels, as in 1024x1024", field="size")
    for side in sides:
        if not 1 <= side <= MAX_ASKED_SIDE_PX:
            raise RequestError(
                f"{option} {text!r}: a side must be from 1 to {MAX_ASKED_SIDE_PX} px", field="size",
                limit=[1, MAX_ASKED_SIDE_PX],
            )  # fmt: skip
    return sides


def parse_reference(text: str, variants: Sequence[Variant]) -> ReferenceChoice | None:
    """`VARIANT[@WxH]` of the variants given, `official`, or `none`."""
    if text == NO_REFERENCE:
        return None
    name, at, size = text.partition("@")
    names = [variant.name for variant in variants]
    if name != OFFICIAL and name not in names:
        known = ", ".join([OFFICIAL, NO_REFERENCE, *names])
        raise RequestError(f"--reference {text!r} names no variant; there are {known}", field="reference")
    return ReferenceChoice(name, parse_size(size, "--reference") if at else None)


def parse_seed(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text) or int(text) > MAX_SEED:
        raise RequestError(f"--seed {text!r} is not a whole number from 0 to {MAX_SEED}", field="seed", limit=MAX_SEED)
    return int(text)


def check_names(variants: Sequence[Variant]) -> None:
    """Raises RequestError where two variants that differ have one name."""
    seen: dict[str, Variant] = {}
    for variant in variants:
        if seen.setdefault(variant.name, variant) != variant:
            raise RequestError(f"--variant {variant.name!r} is given twice with different values", field="variant")


def same_shape(first: Asked, second: Asked) -> bool:
    return abs(first[0] / first[1] / (second[0] / second[1]) - 1) <= SAME_SHAPE


def shots(plan: Plan, repeats: int) -> Iterator[Shot]:
    """Every picture of a run, in an order that spreads drift: settings take turns, each repeat starts elsewhere.

    A machine that heats up or is shared for a while then touches every setting, not the last one alone.
    """
    for repeat in range(repeats):
        turn = 0
        for prompt_index in range(len(plan.wishes.prompts)):
            for seed in plan.wishes.seeds:
                start = (repeat + turn) % len(plan.settings)
                turn += 1
                for setting in plan.settings[start:] + plan.settings[:start]:
                    yield Shot(setting, prompt_index, seed, repeat)
