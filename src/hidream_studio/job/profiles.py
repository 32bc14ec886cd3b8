"""What a kind of model was made for: native size, buckets, recipe, presets. Reads a profile file, never weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hidream_studio.errors import CheckpointError, RequestError
from hidream_studio.settings import EMBEDDED_CHECKPOINT

Recipe = Literal["full", "dev"]
Sampler = Literal["unipc", "euler", "flash", "flow_match"]
OwnPrecision = Literal["bf16", "fp32"]  # of settings.Precision, those that every kind of device has
PresetId = Literal["quick", "standard", "high", "official"]

PROFILE_FILE = "profile.json"

DEV_STEPS = 28  # upstream models/pipeline.py DEFAULT_TIMESTEPS


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Preset(_Frozen):
    """A named starting point: it fills in size, steps and guidance, each of which stays free to change."""

    id: PresetId
    name: str
    width: int
    height: int
    snap_resolution: bool
    steps: int
    guidance_scale: float
    steps_range: tuple[int, int]  # the range worth trying
    guidance_range: tuple[float, float]
    purpose: str  # when to use it, one line


class RecipeDefaults(_Frozen):
    steps: int
    guidance_scale: float
    sampler: Sampler
    shift: float
    noise_scale: float
    subjects_shift: float | None = None  # beside two or more pictures as input; None: as without


class ModelProfile(_Frozen):
    """Everything that requests are resolved against.

    Sizes are (width, height) in pixels, multiples of 32.
    """

    id: str
    name: str
    native_side: int  # the side of the native square, e.g. 2048
    buckets: tuple[tuple[int, int], ...]  # upstream's fixed sizes; the first of equals wins
    trained_sides: tuple[int, int]  # shortest and longest side seen in training; others are drawn with a warning
    trained_area: tuple[int, int]  # smallest and largest area seen in training, px
    default_recipe: Recipe
    recipes: Mapping[Recipe, RecipeDefaults]
    presets: tuple[Preset, ...]
    precision: OwnPrecision | None = None  # what it computes in where none is asked for; None: what suits the device
    keep_composition_strength: float = 0.5  # where a finish names none: 0 the draft, 1 all new
    examples: tuple[str, ...] = Field(default=())  # prompts that this model can draw
    draws: str = ""  # all that it can, where that is little
    edit_area: int | None = None  # px; edits below it, without guidance or with dev are known to come out weak

    @property
    def native_area(self) -> int:
        return self.native_side * self.native_side

    def preset(self, preset_id: str) -> Preset:
        for preset in self.presets:
            if preset.id == preset_id:
                return preset
        raise RequestError(
            f"preset {preset_id!r} is unknown; there are {', '.join(p.id for p in self.presets)}", field="preset"
        )


# upstream models/utils.py, in its order: the first of equals wins
UPSTREAM_BUCKETS = (
    (2048, 2048), (2304, 1728), (1728, 2304), (2560, 1440), (1440, 2560), (2496, 1664), (1664, 2496),
    (3104, 1312), (1312, 3104), (2304, 1792), (1792, 2304),
)  # fmt: skip

# the shift of its README's subject, skeleton and layout examples; its web page has 3 there too
_FULL = RecipeDefaults(
    steps=50, guidance_scale=5.0, sampler="unipc", shift=3.0, noise_scale=8.0, subjects_shift=1.0
)  # fmt: skip
_DEV = RecipeDefaults(steps=DEV_STEPS, guidance_scale=0.0, sampler="flash", shift=1.0, noise_scale=7.5)


def _preset_8b(
    preset_id: PresetId, name: str, side: int, steps: int, steps_range: tuple[int, int], guidance: float,
    guidance_range: tuple[float, float], purpose: str, *, snap: bool = False,
) -> Preset:  # fmt: skip
    return Preset(
        id=preset_id, name=name, width=side, height=side, snap_resolution=snap, steps=steps, steps_range=steps_range,
        guidance_scale=guidance, guidance_range=guidance_range, purpose=purpose,
    )  # fmt: skip


_PRESETS_FULL = (
    _preset_8b("quick", "Quick preview", 1024, 24, (20, 24), 1.0, (1.0, 3.0), "Composition and mood, in seconds."),
    _preset_8b("standard", "Standard", 1536, 28, (28, 36), 5.0, (3.0, 5.0), "Day-to-day work."),
    _preset_8b("high", "High quality", 2048, 36, (36, 50), 5.0, (5.0, 5.0), "Finish the picks."),
    _preset_8b("official", "Official bucket", 2048, 50, (50, 50), 5.0, (5.0, 5.0),
               "Upstream's recipe, exactly: sizes snap to its buckets.", snap=True),
)  # fmt: skip
_PRESETS_DEV = tuple(
    preset.model_copy(update={"steps": DEV_STEPS, "steps_range": (DEV_STEPS, DEV_STEPS), "guidance_scale": 0.0,
                              "guidance_range": (0.0, 0.0)})
    for preset in _PRESETS_FULL
)  # fmt: skip

_EXAMPLES_8B = (
    "A cinematic portrait photo of a woman in a rainy neon street, detailed skin, 85mm lens, realistic lighting",
    'A hand-painted shop sign that reads "FRESH BREAD" above a narrow doorway, morning light',
    "An isometric cutaway of a cosy reading room, warm lamps, rain on the window",
)

HIDREAM_O1_IMAGE = ModelProfile(
    id="hidream-o1-image", name="HiDream-O1-Image", native_side=2048, buckets=UPSTREAM_BUCKETS,
    trained_sides=(1024, 3104), trained_area=(1024 * 1024, 4_300_000), default_recipe="full",
    recipes={"full": _FULL, "dev": _DEV}, presets=_PRESETS_FULL, examples=_EXAMPLES_8B, edit_area=1_700_000,
)  # fmt: skip
HIDREAM_O1_IMAGE_DEV = HIDREAM_O1_IMAGE.model_copy(
    update={"id": "hidream-o1-image-dev", "name": "HiDream-O1-Image-Dev", "default_recipe": "dev",
            "presets": _PRESETS_DEV}
)  # fmt: skip

_BUILT_IN = {profile.id: profile for profile in (HIDREAM_O1_IMAGE, HIDREAM_O1_IMAGE_DEV)}
PROFILE_IDS = (*_BUILT_IN, "o1-tiny")


def profile_by_id(profile_id: str) -> ModelProfile:
    """The profile of that name.

    Raises
    ------
    RequestError
        when there is none; the message lists those that there are.
    """
    if profile_id in _BUILT_IN:
        return _BUILT_IN[profile_id]
    if profile_id == "o1-tiny":
        return read_profile(EMBEDDED_CHECKPOINT / PROFILE_FILE)
    raise RequestError(f"profile {profile_id!r} is unknown; there are {', '.join(PROFILE_IDS)}", field="profile")


def read_profile(path: Path) -> ModelProfile:
    """A profile from its JSON file.

    Raises
    ------
    CheckpointError
        when the file is missing, is no JSON or does not fit; names the file and the key.
    """
    try:
        return ModelProfile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as a model profile: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path} is no model profile: {key}: {first['msg']}") from error


def profile_for_checkpoint(folder: Path, override: str | None = None) -> ModelProfile:
    """The override's profile, else the one in the checkpoint's own profile.json, else that of the 8B model."""
    if override is not None:
        return profile_by_id(override)
    own = folder / PROFILE_FILE
    return read_profile(own) if own.is_file() else HIDREAM_O1_IMAGE
