"""A real Chromium before a studio that served.py starts, on watch for errors and foreign requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from served import Served

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # as scripts/find_browser.sh


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

    def __init__(self, browser: Any, server: Served) -> None:
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
