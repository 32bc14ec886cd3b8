"""`hidream-studio serve`: opens the library, takes the port, runs the app until a signal. Knows no route."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from hidream_studio.cli.options import settings_from
from hidream_studio.errors import StudioError
from hidream_studio.library.library import Library
from hidream_studio.server.access import access_rules
from hidream_studio.server.app import create_app
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

CLOSE_CONNECTIONS_S = 4  # after a signal; the studio, which ends them, has 5 s in all
BACKLOG = 2048  # uvicorn's own default
logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(arguments: argparse.Namespace) -> int:
    settings = settings_from(arguments)
    access_rules(settings)  # refuses before anything is touched
    _log_to_stderr()
    with bound_socket(settings) as listener:
        address = page_address(settings.host, listener)
        library = Library.open(settings.data)
        try:
            library.announce(address)
            studio = Studio(settings, library)
            server = Server(create_app(studio, settings), studio, address)
            server.run(sockets=[listener])
        finally:
            library.close()
    return 0 if server.started else 1


class Server(uvicorn.Server):
    """Uvicorn that says when the page can be opened, and lets the studio begin to stop before it waits for clients."""

    def __init__(self, app: FastAPI, studio: Studio, address: str) -> None:
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, lifespan="on", ws="websockets-sansio",
                timeout_graceful_shutdown=CLOSE_CONNECTIONS_S,
            )
        )  # fmt: skip
        self._app = app
        self._studio = studio
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._address, flush=True)
            self._telling = asyncio.ensure_future(self._tell_of_worker())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stopping = asyncio.ensure_future(self._app.state.stop_studio())  # ends event streams and waiting calls
        await super().shutdown(sockets)
        await stopping

    async def _tell_of_worker(self) -> None:
        """In the log, for those who look at no page: how loading goes, and when the worker fails."""
        told = None
        async for event in self._studio.subscribe():
            health = self._studio.health()
            if event.type == "worker" and health.phase != "stopped" and (health.phase, health.reason) != told:
                told = (health.phase, health.reason)
                where = f" on {health.device} in {health.precision}" if health.device else ""
                why = f": {health.reason}" if health.reason else ""
                logger.info("%s: %s%s%s", health.model, health.phase, where if health.ready else "", why)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the signal is not raised again afterwards: to be told to stop is no failure."""
        ours = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup's SIGHUP
        before = {number: signal.signal(number, self._stop) for number in ours}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(signal.Signals.SIGINT if number == signal.SIGINT else signal.Signals.SIGTERM, frame)


def bound_socket(settings: Settings) -> socket.socket:
    """The listening socket.

    Raises
    ------
    StudioError
        in one sentence: the port is in use, or the address is not this machine's.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StudioError(f"cannot listen on {where}: {error.strerror or error}", field="host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = "; is a studio running there already? Choose another with --port" if "in use" in str(error) else ""
        raise StudioError(f"cannot listen on {where}: {error.strerror}{hint}", field="port") from error
    listener.set_inheritable(False)
    return listener


def page_address(host: str, listener: socket.socket) -> str:
    """What to open in a browser on this machine."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("uvicorn.error", "httpx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
