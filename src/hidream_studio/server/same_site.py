"""Only this studio's own pages, and programs of this machine's user: Host and Origin of every call. Knows no token.

A studio on a loopback address is open to this machine alone, and a foreign web page that is open in a browser on this
machine is not "this machine": its Host (DNS rebinding) or Origin gives it away.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hidream_studio.errors import AccessError
from hidream_studio.server.access import AccessRules
from hidream_studio.server.errors import error_response, refuse
from hidream_studio.server.links import Links

_DEFAULT_PORTS = {"http": 80, "https": 443}


class SameSiteMiddleware:
    """Lets through what comes from here, http and websocket alike; anything else never reaches the app."""

    def __init__(self, app: ASGIApp, rules: AccessRules, links: Links) -> None:
        self.app = app
        self.rules = rules
        self.links = links

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await refuse(refusal, scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.getlist("host")
        if len(host) != 1 or not self.rules.accepts_host(host[0]):
            return _forbidden("Host", host[0] if host else "", "is not an address of this studio")
        for origin in headers.getlist("origin"):
            if not same_origin(origin, host[0]):
                return _forbidden("Origin", origin, "is not this studio: web pages of others may not use it")
        if _cross_site_read(scope, headers) and not self.links.opens(scope):
            return _forbidden(
                "Sec-Fetch-Site", headers["sec-fetch-site"], "web pages of others may not use this studio"
            )
        return None


def same_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` was served by `host`. `null` (a file, a sandbox) never was."""
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS.get(parts.scheme)
        if default is None or not parts.hostname or parts.path or parts.query:
            return False
        there = urlsplit(f"//{host}")
        return (parts.hostname, parts.port or default) == (there.hostname, there.port or default)
    except ValueError:
        return False


def _cross_site_read(scope: Scope, headers: Headers) -> bool:
    """An <img> or <script> of a foreign page: it sends no Origin. Following a link to the studio is allowed."""
    site = headers.get("sec-fetch-site", "none")
    if site in ("none", "same-origin"):
        return False
    followed_link = (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    return not followed_link


def _forbidden(header: str, value: str, why: str) -> Response:
    shown = value[:100].encode("ascii", "backslashreplace").decode("ascii")
    return error_response(403, AccessError(f"{header} {shown!r} {why}", field=header))
