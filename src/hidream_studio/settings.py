"""Facts of this machine: where to listen, what to load, where to keep pictures.

Read from the command line's options first, then from HIDREAM_STUDIO_* in the environment. Importing reads nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Precision = Literal["bf16", "fp8", "fp32"]

EMBEDDED_CHECKPOINT = Path(__file__).parent / "checkpoints" / "o1-tiny"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
# first parts of the server's own paths: whether a proxy has taken its prefix off a path could not be seen from it
OWN_NAMES = frozenset(
    {"api", "v1", "generate", "health", "metrics", "login", "logout", "docs", "openapi.json", "_studio", "_nicegui",
     "_nicegui_ws"}
)  # fmt: skip
# GNU OpenMP's threads wait for one another by spinning. 300,000 turns, its default, starve a step where another program
# is busy, and so do 20,000; none at all cost every picture; this many do neither (docs/lab-log.md)
SPIN_TURNS = 1_000


def openmp_waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """How OpenMP's threads should wait, where the environment does not say so itself: its policy would lose."""
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & environment.keys():
        return {}
    return {"GOMP_SPINCOUNT": str(SPIN_TURNS)}


class Settings(BaseSettings):
    """Every field can be set as HIDREAM_STUDIO_<NAME>; the token only there or in a file."""

    model_config = SettingsConfigDict(env_prefix="HIDREAM_STUDIO_", extra="forbid", frozen=True)

    model: str | None = None  # folder, file or hub id; None is the embedded o1-tiny
    tokenizer: str | None = None  # folder or hub id, where the model has none: one file of weights
    profile: str | None = None  # where the checkpoint does not say
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:1"
    precision: Precision | None = None  # None: the profile's, else fp32 on a CPU and bf16 on CUDA
    fused: bool | None = None  # kernels of our own between a step's matrix products; None: where they run (CUDA)
    # GiB of the GPU's memory; weights that do not fit travel from the host's in each step
    vram: float | None = None  # None: "auto", what is free, less a reserve
    host: str = "127.0.0.1"
    port: int = Field(7860, ge=0, le=65535)  # 0: any free port
    data: Path = Field(default_factory=lambda: user_data_path("hidream-studio"))
    loras: Path | None = None  # folder of LoRA files; None: "loras" in the data folder
    token: SecretStr | None = None
    token_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()  # further names in Host, behind a proxy; as JSON in the environment
    root_path: str = ""  # prefix of every path, behind a proxy: "/studio"
    queue_limit: int = Field(200, ge=1, le=100_000)  # waiting jobs
    threads: int | None = Field(None, ge=1)  # CPU threads of the worker; None: all cores
    step_timeout_s: float = Field(120.0, gt=0)  # a step that takes longer is a hang; first steps may take twice that
    preview_interval_s: float = Field(0.25, ge=0)  # at most one preview a job in this time

    @field_validator("model", "tokenizer", "data", "loras", "token_file")
    @classmethod
    def _at_home(cls, place: str | Path | None) -> str | Path | None:
        """With a leading ~ written out, which a shell leaves alone after an equals sign, and the environment always."""
        if place is None or not str(place).startswith("~"):
            return place
        try:
            return type(place)(Path(place).expanduser())
        except RuntimeError as error:
            raise ValueError(f"{place}: there is no such home folder") from error

    @field_validator("vram", mode="before")
    @classmethod
    def _in_gib(cls, value: object) -> object:
        if value is None or value == "auto":
            return None
        try:
            gib = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            gib = math.nan
        if not 0 < gib < math.inf:
            raise ValueError(f"{value} is neither auto nor a number of GiB above 0")
        return gib

    @field_validator("root_path")
    @classmethod
    def _as_a_prefix(cls, path: str) -> str:
        """Without a slash at its end."""
        path = path.rstrip("/")
        if not ROOT_PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            raise ValueError(f"{path!r} is no path to be put before others; write it as /studio")
        if path.split("/")[1:2] and path.split("/")[1] in OWN_NAMES:
            raise ValueError(f"{path!r} begins as a path of the studio itself does; choose another")
        return path

    @property
    def loras_folder(self) -> Path:
        return self.data / "loras" if self.loras is None else self.loras

    @property
    def checkpoint(self) -> str:
        return self.model if self.model is not None else str(EMBEDDED_CHECKPOINT)
