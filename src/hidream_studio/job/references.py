"""How large pictures are as the model sees them, and how many tokens they take. Arithmetic: nothing is drawn here.

Each picture enters twice: large, as clean 32×32 patches after the target's, and small, through the vision tower, as
tokens before the prompt. How large depends on how many there are, on the output's larger side, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from hidream_studio.errors import CheckpointError, RequestError
from hidream_studio.job.profiles import ModelProfile, Sampler
from hidream_studio.job.sizes import PATCH_PX

MAX_REFERENCES = 20  # as many as were tried; upstream has no limit
PROCESSOR_FILE = "preprocessor_config.json"
DEV_EDIT_NOISE_SCALE = 8.0  # upstream inference.py: flow_match takes the full recipe's, not flash's 7.5

Size = tuple[int, int]  # width, height in px


@dataclass(frozen=True)
class Reference:
    """A picture that a job is drawn from. Its bytes are kept under its hash, and travel beside the job."""

    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # sha256 of its file
    width: PositiveInt  # px, turned as its EXIF says
    height: PositiveInt
    role: Annotated[str, Field(max_length=40)] | None = None  # what it is called; the model does not see it

    @property
    def size(self) -> Size:
        return self.width, self.height


@dataclass(frozen=True)
class Fitting:
    """How one picture is brought to a size: halved, scaled, and cropped from its centre."""

    halved: tuple[Size, ...]  # one after the other, each with a box filter
    scaled: Size  # bicubic
    left: int  # px, of the crop in what was scaled
    top: int
    size: Size  # multiples of 32


@dataclass(frozen=True)
class Preparation:
    """What one picture becomes."""

    fittings: tuple[Fitting, ...]  # one; beside a layout two, and its frame is drawn between them
    vision: Size  # for the vision tower

    @property
    def size(self) -> Size:
        """Of the picture as it is cut into patches."""
        return self.fittings[-1].size

    @property
    def tokens(self) -> int:
        """Of its patches."""
        return (self.size[0] // PATCH_PX) * (self.size[1] // PATCH_PX)


def patch_side(count: int, width: int, height: int) -> int:
    """The side, in px, of the square as large as each of `count` pictures (upstream models/pipeline.py `max_size`).

    `width` and `height` are the output's; a layout's picture counts.
    """
    larger = max(width, height)
    if count == 1:
        return larger
    if count == 2:
        return larger * 48 // 64
    if count <= 4:
        return larger // 2
    return larger * 24 // 64 if count <= 8 else larger // 4


def vision_side(count: int) -> int:
    """The same for the pictures that go through the vision tower (upstream models/pipeline.py `cond_img_size`)."""
    if count <= 4:
        return 384
    return 288 if count <= 8 else 192


def fit(size: Size, side: int) -> Fitting:
    """A picture at about the area `side`², larger or smaller, in whole patches (upstream models/utils.py).

    A side of it is 0 where the picture is so elongated that less than a patch is left of it.
    """
    width, height = size
    halved = []
    while min(width, height) >= 2 * side:
        width, height = width // 2, height // 2
        halved.append((width, height))
    scale = math.sqrt(side * side / (width * height))
    roundings = [(a, b) for a in (round, math.floor) for b in (round, math.floor)]
    sizes = [(_whole_patches(a(width * scale)), _whole_patches(b(height * scale))) for a, b in roundings]
    sizes.sort(key=lambda one: one[0] * one[1], reverse=True)
    new_width, new_height = next((one for one in sizes if one[0] * one[1] <= side * side), sizes[-1])
    if not new_width or not new_height:
        return Fitting(tuple(halved), (0, 0), 0, 0, (new_width, new_height))
    across, down = width / new_width, height / new_height
    if across < down:
        scaled = new_width, round(height / across)
    else:
        scaled = round(width / down), new_height
    left, top = (scaled[0] - new_width) // 2, (scaled[1] - new_height) // 2
    return Fitting(tuple(halved), scaled, left, top, (new_width, new_height))


def vision_size(size: Size, side: int) -> Size:
    """A fitted picture for the vision tower, in whole merged patches (upstream models/utils.py calculate_dimensions).

    A side of it is 0 where the picture is too elongated, as in `fit`.
    """
    ratio = size[0] / size[1]
    width = math.sqrt(side * side * ratio)
    height = width / ratio
    return int(width / PATCH_PX) * PATCH_PX, int(height / PATCH_PX) * PATCH_PX


def kept_side(width: int, height: int, *, snap: bool, profile: ModelProfile) -> int:
    """The side of the square as large as an output that keeps its one picture's aspect ratio.

    The model's own where sizes snap, as upstream; otherwise as large as what was asked.
    """
    return profile.native_side if snap else round(math.sqrt(width * height))


def kept_size(size: Size, side: int) -> Size:
    """The output of an edit that keeps its picture's aspect ratio; `side` is of `kept_side`. Raises RequestError."""
    return _prepared(size, side, vision_side(1), "references.0").size


def prepare_sizes(
    sizes: Sequence[Size],  # of the pictures, in order
    width: int,  # of the output
    height: int,
    *,
    layout: bool = False,  # whether boxes were drawn: then one more picture is the last
    kept_side: int | None = None,  # of an output that keeps its one picture's aspect ratio
) -> tuple[Preparation, ...]:
    """What becomes of each picture, and of the layout's.

    Raises
    ------
    RequestError
        naming the field and the limit, where upstream would crash or leave something out without a word.
    """
    if len(sizes) > MAX_REFERENCES:
        raise RequestError(
            f"there are {len(sizes)} references; there may be at most {MAX_REFERENCES}",
            field="references", limit=MAX_REFERENCES,
        )  # fmt: skip
    if layout and not sizes:
        raise RequestError("a layout says where the references stand, but there are none", field="layout")
    if kept_side is not None:
        return (_kept(sizes, width, height, kept_side, layout),)
    count = len(sizes) + layout
    side, small = patch_side(count, width, height), vision_side(count)
    every = [_prepared(size, side, small, f"references.{index}", layout) for index, size in enumerate(sizes)]
    return (*every, _prepared((width, height), side, small, "layout")) if layout else tuple(every)


def _prepared(size: Size, side: int, small: int, field: str, twice: bool = False) -> Preparation:
    fittings = [fit(size, side)]
    if twice and all(fittings[0].size):
        fittings.append(fit(fittings[0].size, side))
    fitted = fittings[-1].size
    vision = vision_size(fitted, small) if all(fitted) else fitted
    if not all(vision):
        limit = (min(side, small) // PATCH_PX) ** 2
        raise RequestError(
            f"{field} is {size[0]}×{size[1]} px, which is too elongated: among so many references, at this size of the "
            f"picture, one side may be at most {limit} times the other", field=field, limit=limit,
        )  # fmt: skip
    return Preparation(tuple(fittings), vision)


def _kept(sizes: Sequence[Size], width: int, height: int, side: int, layout: bool) -> Preparation:
    if layout:
        raise RequestError("keep_aspect cannot go with a layout, whose boxes are of another picture", field="layout")
    if len(sizes) != 1:
        raise RequestError(
            f"keep_aspect needs exactly one reference, not {len(sizes)}: whose aspect ratio would be kept?",
            field="keep_aspect", limit=1,
        )  # fmt: skip
    prepared = _prepared(sizes[0], side, vision_side(1), "references.0")
    if prepared.size != (width, height):
        raise RequestError(
            f"the picture is drawn at {width}×{height} px, but its reference becomes "
            f"{prepared.size[0]}×{prepared.size[1]} px, whose aspect ratio it should keep", field="keep_aspect",
        )  # fmt: skip
    return prepared


@dataclass(frozen=True)
class PictureProcessor:
    """How a checkpoint's vision tower wants its pictures: what its preprocessor_config.json says."""

    smallest_px: int  # area
    largest_px: int
    mean: tuple[float, ...]  # of each channel, of values in [0, 1]
    std: tuple[float, ...]
    patch_px: int
    frames: int  # a still picture is repeated as often
    merge: int  # patches a side that become one token

    @property
    def unit_px(self) -> int:
        """The side of what becomes one token."""
        return self.patch_px * self.merge

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PictureProcessor:
        """Of a preprocessor_config.json in the spelling of Qwen3-VL, or of Qwen2-VL.

        Raises
        ------
        CheckpointError
            naming the key that is missing or does not fit.
        """
        size = values.get("size")
        edges = size if isinstance(size, Mapping) and "shortest_edge" in size else {}
        return cls(
            smallest_px=_whole(edges.get("shortest_edge", values.get("min_pixels")), "size.shortest_edge"),
            largest_px=_whole(edges.get("longest_edge", values.get("max_pixels")), "size.longest_edge"),
            mean=_channels(values.get("image_mean"), "image_mean"),
            std=_channels(values.get("image_std"), "image_std"),
            patch_px=_whole(values.get("patch_size"), "patch_size"),
            frames=_whole(values.get("temporal_patch_size"), "temporal_patch_size"),
            merge=_whole(values.get("merge_size"), "merge_size"),
        )

    def seen_size(self, size: Size) -> Size:
        """The size that the tower sees: whole units, no smaller and no larger in all than it was made for.

        As transformers' Qwen2-VL image processor (`smart_resize`): 192×192 becomes 256×256 where the least is 65,536.
        """
        unit, (width, height) = self.unit_px, size
        near = round(width / unit) * unit, round(height / unit) * unit
        if near[0] * near[1] > self.largest_px:
            shrink = math.sqrt(width * height / self.largest_px)
            return max(unit, _down(width / shrink, unit)), max(unit, _down(height / shrink, unit))
        if near[0] * near[1] < self.smallest_px:
            grow = math.sqrt(self.smallest_px / (width * height))
            return math.ceil(width * grow / unit) * unit, math.ceil(height * grow / unit) * unit
        return near

    def grid(self, size: Size) -> tuple[int, int]:
        """Rows and columns of the tokens that a picture of that size becomes."""
        width, height = self.seen_size(size)
        return height // self.unit_px, width // self.unit_px


def reference_tokens(preparations: Sequence[Preparation]) -> int:
    """Of all patches that run in every forward beside the target's."""
    return sum(preparation.tokens for preparation in preparations)


def picture_tokens(preparations: Sequence[Preparation], processor: PictureProcessor) -> tuple[int, ...]:
    """Of each picture before the prompt, as the vision tower gives them."""
    grids = (processor.grid(preparation.vision) for preparation in preparations)
    return tuple(rows * cols for rows, cols in grids)


def vision_tokens(preparations: Sequence[Preparation], processor: PictureProcessor) -> int:
    """Of all that stands before the prompt: each picture's tokens between a start and an end."""
    return sum(tokens + 2 for tokens in picture_tokens(preparations, processor))


def dev_sampler(references: int) -> Sampler:
    """The dev recipe's sampler for so many pictures; a layout does not count (upstream inference.py)."""
    return "flow_match" if references == 1 else "flash"


def _whole_patches(px: int) -> int:
    return px // PATCH_PX * PATCH_PX


def _down(px: float, unit: int) -> int:
    return math.floor(px / unit) * unit


def _whole(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{PROCESSOR_FILE}: {key} is missing or is not a positive whole number")
    return value


def _channels(value: Any, key: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 3 or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise CheckpointError(f"{PROCESSOR_FILE}: {key} is missing or is not three numbers")
    return tuple(float(one) for one in numbers)
