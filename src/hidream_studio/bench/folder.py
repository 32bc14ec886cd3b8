"""A run on disk: its plan, every raw sample and every picture, so that an interrupted run goes on where it was.

Knows nothing of servers or of what the numbers mean.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from hidream_studio.bench.metrics import Pixels
from hidream_studio.errors import LibraryError, RequestError

FORMAT = 1
RUN_FILE, SAMPLES_FILE, LOCK_FILE, PICTURES = "run.json", "samples.jsonl", ".lock", "pictures"


@dataclass(frozen=True)
class Sample:
    """One measured picture, raw. Seconds; None where the server did not tell."""

    key: str
    setting_id: str
    prompt_index: int
    seed: int
    repeat: int
    started_at: str  # ISO 8601, UTC
    order: int  # the how-manieth picture of its session
    client_s: float
    elapsed_s: float | None
    queued_s: float | None
    timings: dict[str, float]
    width: int  # of the picture that came
    height: int
    picture: str  # file name under pictures/
    pixels_sha256: str
    png_bytes: int
    image_id: str | None = None

    @property
    def seconds(self) -> float:
        """The server's own time where it tells one, else the client's."""
        return self.elapsed_s if self.elapsed_s is not None else self.client_s


class RunFolder:
    """Append-only while measuring. `open` it with what identifies the run; another run's folder is refused."""

    def __init__(self, path: Path, lock: FileLock, samples: list[Sample]) -> None:
        self.path = path
        self.samples = samples
        self._lock = lock

    @classmethod
    def open(cls, path: Path, identity: dict[str, Any], about: dict[str, Any]) -> Self:
        """Start or resume the run of that identity; `about` is kept with it at the start.

        Raises
        ------
        RequestError
            when the folder holds another run or other files; says what differs.
        LibraryError
            when it cannot be written, or another process is measuring into it.
        """
        try:
            is_new = not path.exists() or not any(path.iterdir())
            known = path / RUN_FILE
            if not is_new and not known.is_file() and {p.name for p in path.iterdir()} - {LOCK_FILE, PICTURES}:
                raise RequestError(f"--out {path} holds other files; name a new or empty folder", field="out")
            (path / PICTURES).mkdir(parents=True, exist_ok=True)
            lock = FileLock(path / LOCK_FILE)
            lock.acquire(timeout=0)
            if known.is_file():
                _check_same_run(path, identity)
            else:
                write_durably(known, _json({"format": FORMAT, "identity": identity, **about}))
            samples = _read_samples(path)
            write_durably(path / SAMPLES_FILE, "".join(_line(sample) for sample in samples))
        except Timeout as error:
            raise LibraryError(f"another benchmark is measuring into {path}") from error
        except OSError as error:
            raise LibraryError(f"--out {path} cannot be written: {error.strerror or error}") from error
        return cls(path, lock, samples)

    @property
    def done(self) -> frozenset[str]:
        return frozenset(sample.key for sample in self.samples)

    def about(self) -> dict[str, Any]:
        """What `run.json` holds."""
        values: dict[str, Any] = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        return values

    def add(self, sample: Sample, png: bytes) -> None:
        """Keep one measurement: the picture first, then the line that counts it.

        Raises
        ------
        LibraryError
            when the disk is full or the folder is gone.
        """
        try:
            target = self.path / PICTURES / sample.picture
            if not target.is_file():
                temporary = target.with_suffix(".part")
                temporary.write_bytes(png)
                temporary.replace(target)
            with (self.path / SAMPLES_FILE).open("a", encoding="utf-8") as lines:
                lines.write(_line(sample))
                lines.flush()
                os.fsync(lines.fileno())
        except OSError as error:
            raise LibraryError(f"{self.path} cannot be written: {error.strerror or error}") from error
        self.samples.append(sample)

    def pixels(self, sample: Sample) -> Pixels:
        """(H, W, 3) of a kept picture."""
        return read_pixels(self.path / PICTURES / sample.picture)

    def close(self) -> None:
        self._lock.release()


def read_pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write_durably(path: Path, text: str) -> None:
    """The file whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


def _read_samples(path: Path) -> list[Sample]:
    """Samples whose line is whole and whose picture is there; a crash may have left half a line."""
    lines_file = path / SAMPLES_FILE
    if not lines_file.is_file():
        return []
    names = {field.name for field in fields(Sample)}
    samples = {}
    for line in lines_file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            sample = Sample(**{name: value for name, value in json.loads(line).items() if name in names})
        except (ValueError, TypeError, AttributeError):
            continue
        if (path / PICTURES / sample.picture).is_file():
            samples[sample.key] = sample
    return list(samples.values())


def _check_same_run(path: Path, identity: dict[str, Any]) -> None:
    try:
        known = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))["identity"]
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"--out {path} holds a {RUN_FILE} that cannot be read; name another", field="out") from error
    difference = _first_difference(known, identity)
    if difference is not None:
        raise RequestError(
            f"--out {path} holds the results of another run ({difference}); name another folder", field="out"
        )


def _first_difference(known: Any, now: Any, name: str = "") -> str | None:
    """The first value that differs, in words."""
    if isinstance(known, dict) and isinstance(now, dict):
        for key in sorted(known.keys() | now.keys()):
            found = _first_difference(known.get(key), now.get(key), f"{name}.{key}" if name else key)
            if found is not None:
                return found
        return None
    return None if known == now else f"its {name} is {_short(known)}, now it is {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"


def _line(sample: Sample) -> str:
    return json.dumps(asdict(sample)) + "\n"


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"
