"""A whole studio in processes of its own, and a real Chromium before it, on watch for errors and foreign requests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # as scripts/find_browser.sh
READY_S = 120.0


@dataclass
class Server:
    """`hidream-studio serve` on the tiny golden checkpoint: noise for pictures, but a real worker that draws them."""

    checkpoint: Path
    data: Path
    log: Path
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "hidream_studio", "serve", "--model", str(self.checkpoint), "--profile", "o1-tiny",
            "--data", str(self.data), "--port", str(self.port), *self.options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True
            )

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def health(self) -> dict[str, Any]:
        try:
            return dict(httpx.get(f"{self.url}/health").json())
        except (httpx.TransportError, ValueError):
            return {}

    def wait_ready(self) -> None:
        give_up_s = time.monotonic() + READY_S
        while not self.health().get("ready"):
            assert time.monotonic() < give_up_s, self.log.read_text()[-4000:]
            assert self.process is not None and self.process.poll() is None, self.log.read_text()[-4000:]
            time.sleep(0.1)

    def images(self, **query: Any) -> list[dict[str, Any]]:
        return list(httpx.get(f"{self.url}/api/images", params=query).json()["images"])


@contextmanager
def serving(checkpoint: Path, folder: Path, *options: str) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Server(checkpoint, folder / "data", folder / "server.log", port, options)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def ready(page: Any) -> None:
    """Until the page has met its server. What is clicked before waits for that, and not always in its order."""
    page.wait_for_function("window.did_handshake === true")


@dataclass
class Watch:
    """All that must not happen in a page."""

    host: str
    troubles: list[str] = field(default_factory=list)

    def follow(self, page: Any) -> None:
        page.on("pageerror", lambda error: self.troubles.append(f"script error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"console {message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        if not re.match(rf"(https?|wss?)://{re.escape(self.host)}/|data:|blob:", request.url):
            self.troubles.append(f"request to another host: {request.url}")


class Visitor:
    """Opens pages of one server, each in a browser of its own, and vouches for all of them."""

    def __init__(self, browser: Any, server: Server) -> None:
        self._browser = browser
        self.server = server
        self.watch = Watch(f"127.0.0.1:{server.port}")
        self._contexts: list[Any] = []

    def open(self, **options: Any) -> Any:
        context = self._browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options}
        )
        self._contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        self.watch.follow(page)
        page.goto(self.server.url)
        page.wait_for_selector(".cell, .welcome, .nothing")
        ready(page)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()
