"""The one schema of a request: HTTP, command line, page and benchmark all fill in this. Nothing is pinned yet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hidream_studio.job.loras import LorasAsked
from hidream_studio.job.profiles import PresetId, Recipe, Sampler
from hidream_studio.job.references import MAX_REFERENCES
from hidream_studio.job.sizes import MAX_ASKED_SIDE_PX

Lane = Literal["draft", "final"]
FinishMode = Literal["re-render", "keep-composition", "exact"]
Noise = Literal["upstream", "linked"]

MAX_PROMPT_CHARS = 10_000
MAX_PROMPT_TOKENS = 4096  # image positions start here (upstream models/utils.py get_rope_index_fix_point)
MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_SEED = 2**53 - 1  # exact in JavaScript and SQLite
MIN_SHIFT, MAX_SHIFT = 0.01, 100.0  # far below, every sigma is 0 in float32
MIN_NOISE_SCALE, MAX_NOISE_SCALE = 0.01, 100.0
MAX_ROLE_CHARS = 40
MAX_PICTURE_BYTES = 64 * 2**20  # of a file, before it is read
MAX_BASE64_CHARS = (MAX_PICTURE_BYTES + 2) // 3 * 4
UPLOAD_ID = "[0-9a-f]{64}"  # sha256 of the stored file

Prompt = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS, strict=True)]
Guidance = Annotated[float, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False, strict=True)]
Shift = Annotated[float, Field(ge=MIN_SHIFT, le=MAX_SHIFT, allow_inf_nan=False, strict=True)]
NoiseScale = Annotated[float, Field(ge=MIN_NOISE_SCALE, le=MAX_NOISE_SCALE, allow_inf_nan=False, strict=True)]
Side = Annotated[int, Field(ge=1, le=MAX_ASKED_SIDE_PX, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]  # of the picture's width or height
Box4 = tuple[Share, Share, Share, Share]  # x1, x2, y1, y2: x first, as upstream has it


def _encodable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode, without lone surrogates") from None
    return text


Role = Annotated[str, Field(max_length=MAX_ROLE_CHARS), AfterValidator(_encodable)]


class ReferenceRequest(BaseModel):
    """A picture to draw from: its file in base64, or the id of a picture of the library, or that of an upload."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Annotated[str, Field(max_length=MAX_BASE64_CHARS)] | None = None
    image_id: Annotated[str, Field(max_length=64)] | None = None
    upload_id: Annotated[str, Field(pattern=f"^{UPLOAD_ID}$")] | None = None
    role: Role | None = None  # what it is called, such as "coat"; the model does not see it

    @model_validator(mode="after")
    def _one_source(self) -> ReferenceRequest:
        given = sum(source is not None for source in (self.image, self.image_id, self.upload_id))
        if given != 1:
            raise ValueError(f"it should have exactly one of image, image_id and upload_id, not {given}")
        return self


References = Annotated[tuple[ReferenceRequest, ...], Field(min_length=1, max_length=MAX_REFERENCES)]


class GenerationRequest(BaseModel):
    """What somebody asks for. Absent fields come from the preset, then from the profile's default recipe.

    An empty request (a prompt alone) is the official recipe of the profile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt
    negative_prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] | None = None  # None or "": upstream's " "
    seed: Seed | None = None  # None: random, and the answer says which
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    width: Side | None = None  # px
    height: Side | None = None  # px
    snap_resolution: bool | None = None  # None: the preset's, else true
    preset: PresetId | None = None
    recipe: Recipe | None = None
    sampler: Sampler | None = None  # unipc and euler of the full recipe, flash and flow_match of dev's
    shift: Shift | None = None
    noise_scale: NoiseScale | None = None
    noise: Noise = "upstream"
    references: References | None = None  # pictures to draw from, in the order that the prompt means
    layout: tuple[Box4, ...] | None = None  # where each of them stands: a box is [x1, x2, y1, y2], each 0 to 1
    keep_aspect: bool | None = None  # of the one reference; None: yes, where neither size nor layout is asked for
    loras: LorasAsked | None = None  # in any order

    @field_validator("layout", mode="before")
    @classmethod
    def _boxes(cls, layout: object) -> object:
        boxes = layout if isinstance(layout, list | tuple) else [layout]
        if layout is not None and any(not isinstance(box, list | tuple) or len(box) != 4 for box in boxes):
            raise PydanticCustomError(
                "layout", "it should be a list of boxes, each [x1, x2, y1, y2] in 0 to 1",
                {"expected": "[[x1, x2, y1, y2], …]"},
            )  # fmt: skip
        return layout

    @field_validator("prompt")
    @classmethod
    def _not_blank(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("must hold more than white space")
        return prompt

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _encodable(cls, text: str | None) -> str | None:
        return text if text is None else _encodable(text)


class TextToImageRequest(GenerationRequest):
    """The body of POST /generate/t2i."""

    response_format: Literal["b64_json", "url"] = "b64_json"


class JobRequest(GenerationRequest):
    """The body of POST /api/jobs."""

    lane: Lane | None = None  # None: draft up to half the model's native area, else final


class FinishRequest(BaseModel):
    """The body of POST /api/images/{id}/finish: the draft's prompt and seed at another quality."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: FinishMode = "re-render"
    preset: PresetId | None = None
    width: Side | None = None
    height: Side | None = None
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)] | None = (
        None  # 0 the draft, 1 all new
    )


class SheetRequest(BaseModel):
    """The body of POST /api/sheets: lists are crossed, `n` counts seeds up from the first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: JobRequest
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1000)] | None = None
    steps: Annotated[list[Steps], Field(min_length=1, max_length=100)] | None = None
    guidance_scale: Annotated[list[Guidance], Field(min_length=1, max_length=100)] | None = None
    sizes: Annotated[list[tuple[Side, Side]], Field(min_length=1, max_length=100)] | None = None
    loras: Annotated[list[LorasAsked], Field(min_length=1, max_length=100)] | None = None  # each with its strengths
    n: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
