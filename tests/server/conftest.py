"""The servers that these tests talk to; studio_serving.py starts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.types import ASGIApp
from studio_serving import StudioServer, serving, studio_server, wait_until_ready

from hidream_studio.settings import Settings


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[ASGIApp, Settings], str]]:
    """Serves apps until the module's tests end."""
    with ExitStack() as stack:
        yield lambda app, settings: stack.enter_context(serving(app, settings))


@pytest.fixture(scope="session")
def server(golden_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """One studio for all tests of this folder that leave it as they found it: ready, and its queue empty."""
    with studio_server(golden_checkpoint, tmp_path_factory.mktemp("studio")) as running:
        wait_until_ready(running.client)
        yield running
