"""Real servers for the tests: an app on a free port of this machine, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp

from hidream_studio.cli.serve import bound_socket
from hidream_studio.settings import Settings


@contextmanager
def serving(app: ASGIApp, settings: Settings) -> Iterator[str]:
    """The app's address, e.g. `127.0.0.1:40123`."""
    with bound_socket(settings.model_copy(update={"host": "127.0.0.1", "port": 0})) as listener:
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                thread.join(0.01)
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(15)
            assert not thread.is_alive(), "the server did not stop"


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[ASGIApp, Settings], str]]:
    """Serves apps until the module's tests end."""
    with ExitStack() as stack:
        yield lambda app, settings: stack.enter_context(serving(app, settings))
