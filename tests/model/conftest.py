"""The golden cases: what upstream's own code computed on a tiny random checkpoint (tests/data/golden/README.md)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.model.tokens import PromptTokenizer
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import load_model

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read where Triton is first imported

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
CASES = json.loads((GOLDEN / "cases.json").read_text(encoding="utf-8"))


@pytest.fixture(params=sorted(CASES))
def golden(request: pytest.FixtureRequest) -> dict:
    """One case: its settings and its tensors."""
    return CASES[request.param] | load_file(GOLDEN / f"{request.param}.safetensors")


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return open_checkpoint(str(GOLDEN / "checkpoint"))


@pytest.fixture(scope="session")
def model(checkpoint: Checkpoint) -> O1Transformer:
    return load_model(checkpoint, "cpu", torch.float32)


@pytest.fixture(scope="session")
def tokenizer(checkpoint: Checkpoint) -> PromptTokenizer:
    return PromptTokenizer(checkpoint.folder)


@pytest.fixture
def checkpoint_copy(tmp_path: Path) -> Path:
    """A checkpoint folder of one's own, to break."""
    return Path(shutil.copytree(GOLDEN / "checkpoint", tmp_path / "checkpoint"))
