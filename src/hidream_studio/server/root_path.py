"""The prefix that a proxy puts before our paths, whether it takes it off again or not. Knows no path of ours."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

_FORWARDED_PREFIX = b"x-forwarded-prefix"  # NiceGUI would put it before the prefix that we were told


class RootPathMiddleware:
    """Gives every http and websocket call its `root_path`, and a path that begins with it, as ASGI has it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self.root_path = root_path  # "" or "/studio"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = [pair for pair in scope["headers"] if pair[0] != _FORWARDED_PREFIX]
            scope = {**scope, "headers": headers, "root_path": self.root_path}
            if not f"{scope['path']}/".startswith(f"{self.root_path}/"):  # the proxy has taken it off
                scope["path"] = self.root_path + scope["path"]
                scope["raw_path"] = self.root_path.encode("ascii") + scope.get("raw_path", b"")
            if scope["path"] == self.root_path:
                scope["path"] += "/"
        await self.app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """The path as our routes have it: without the prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
