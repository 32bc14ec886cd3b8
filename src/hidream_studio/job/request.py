"""The one schema of a request: HTTP, command line, page and benchmark all fill in this. Nothing is pinned yet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hidream_studio.job.loras import MAX_LORAS, LoraAsked
from hidream_studio.job.profiles import PresetId, Recipe
from hidream_studio.job.sizes import MAX_ASKED_SIDE_PX

Lane = Literal["draft", "final"]
FinishMode = Literal["re-render", "keep-composition", "exact"]
Noise = Literal["upstream", "linked"]

MAX_PROMPT_CHARS = 10_000
MAX_PROMPT_TOKENS = 4096  # image positions start here (upstream.md); a prompt has fewer
MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_SEED = 2**53 - 1  # exact in JavaScript and SQLite
MIN_SHIFT, MAX_SHIFT = 0.01, 100.0  # far below, every sigma is 0 in float32
MIN_NOISE_SCALE, MAX_NOISE_SCALE = 0.01, 100.0

Prompt = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS, strict=True)]
Guidance = Annotated[float, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False, strict=True)]
Shift = Annotated[float, Field(ge=MIN_SHIFT, le=MAX_SHIFT, allow_inf_nan=False, strict=True)]
NoiseScale = Annotated[float, Field(ge=MIN_NOISE_SCALE, le=MAX_NOISE_SCALE, allow_inf_nan=False, strict=True)]
Side = Annotated[int, Field(ge=1, le=MAX_ASKED_SIDE_PX, strict=True)]


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
    sampler: Literal["unipc", "euler"] | None = None  # of the full recipe
    shift: Shift | None = None
    noise_scale: NoiseScale | None = None
    noise: Noise = "upstream"
    loras: Annotated[tuple[LoraAsked, ...], Field(max_length=MAX_LORAS)] | None = None  # in any order

    @field_validator("loras")
    @classmethod
    def _each_once(cls, loras: tuple[LoraAsked, ...] | None) -> tuple[LoraAsked, ...] | None:
        names = [lora.name for lora in loras or ()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"must name each LoRA once; {twice!r} is there {names.count(twice)} times")
        return loras

    @field_validator("prompt")
    @classmethod
    def _not_blank(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("must hold more than white space")
        return prompt

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _encodable(cls, text: str | None) -> str | None:
        if text is not None:
            if "\x00" in text:
                raise ValueError("must not hold a NUL character")
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError("must be valid Unicode, without lone surrogates") from None
        return text


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
    n: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
