"""LoRAs as they are asked for and as a job pins them: by name, strength and content. Knows no files and no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_LORAS = 8
MAX_STRENGTH = 2.0  # either way
MAX_NAME_CHARS = 200
HASH_CHARS_SHOWN = 10  # as other programs show it

LoraName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f/\\:<>]+$")]
LoraHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Strength = Annotated[float, Field(ge=-MAX_STRENGTH, le=MAX_STRENGTH, allow_inf_nan=False, strict=True)]


class LoraAsked(BaseModel):
    """One LoRA of a request. With `hash` it is that file or none, whatever its name is by now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: LoraName  # its file's, without ".safetensors"
    strength: Strength = 1.0
    hash: LoraHash | None = None  # SHA-256 of the file; None: whatever has the name


def each_once(loras: tuple[LoraAsked, ...]) -> tuple[LoraAsked, ...]:
    """Raises ValueError where one is named twice."""
    names = [lora.name for lora in loras]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"must name each LoRA once; {twice!r} is there {names.count(twice)} times")
    return loras


LorasAsked = Annotated[tuple[LoraAsked, ...], Field(max_length=MAX_LORAS), AfterValidator(each_once)]


@dataclass(frozen=True)
class LoraUse:
    """One LoRA of a job. At strength 0 it is as good as none."""

    name: str
    strength: float
    hash: str  # SHA-256 of its file, in hexadecimal
