"""LoRAs as they are asked for and as a job pins them: by name, strength and content. Knows no files and no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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


@dataclass(frozen=True)
class LoraUse:
    """One LoRA of a job. At strength 0 it is as good as none."""

    name: str
    strength: float
    hash: str  # SHA-256 of its file, in hexadecimal


def words(name: str, strength: float) -> str:
    """As people read it."""
    return f"{name} {strength:g}"
