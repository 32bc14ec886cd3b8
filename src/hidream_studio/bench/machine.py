"""What this machine is, as far as it can be told without torch: for the record beside every number."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import hidream_studio

QUESTION_TIMEOUT_S = 10


def describe_machine() -> dict[str, Any]:
    """Commit, versions, CPU, GPUs with their driver. What cannot be told is None."""
    gpus = _gpus()
    return {
        "studio_version": hidream_studio.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_name(),
        "cpu_cores": os.cpu_count(),
        "torch": _version("torch"),
        "gpus": gpus,
        "driver": gpus[0]["driver_version"] if gpus else None,
    }


def _commit() -> str | None:
    """The commit that this code was run from, with + where it was changed since; None for an installed copy."""
    folder = Path(__file__).parent
    commit = _answer(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if commit is None or _answer(["git", "-C", str(folder), "ls-files", "--error-unmatch", __file__]) is None:
        return None
    changed = _answer(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no", "."])
    return commit + ("+" if changed else "")


def _cpu_name() -> str | None:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _gpus() -> list[dict[str, str]]:
    names = ("name", "driver_version", "memory.total", "power.limit")
    answer = _answer(["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"])
    lines = answer.splitlines() if answer else []
    return [dict(zip(names, (part.strip() for part in line.split(",")), strict=False)) for line in lines]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _answer(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=QUESTION_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
