"""Only who has the token: as Bearer, as a session's cookie, or as a signed link to one picture. Knows no Host."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hidream_studio.errors import AccessError
from hidream_studio.server.access import AccessRules
from hidream_studio.server.errors import error_response, refuse
from hidream_studio.server.guesses import Guesses, address_of
from hidream_studio.server.links import Links
from hidream_studio.server.root_path import route_path

SESSION_COOKIE = "hidream_studio_session"
OPEN_PATHS = frozenset({"/login"})  # without a token


class TokenMiddleware:
    """Where there is a token, lets through only calls that show it; guesses are slowed down."""

    def __init__(self, app: ASGIApp, rules: AccessRules, links: Links) -> None:
        self.app = app
        self.rules = rules
        self.links = links
        self.guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await refuse(refusal, scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if self.rules.token is None or route_path(scope) in OPEN_PATHS or self.links.opens(scope):
            return None
        headers = Headers(scope=scope)
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            right, wait_s = self.guesses.check(address_of(scope), credentials.strip(), self.rules.accepts_token)
            return _slow_down(wait_s) if wait_s else None if right else _unauthorized()
        cookie = session_cookie(headers)
        if cookie is not None and self.rules.accepts_session(cookie):
            return None
        return _login_redirect(scope, headers) or _unauthorized()


def session_cookie_name(host: str) -> str:
    """The session's cookie for a Host header, named after its port.

    Cookies know no ports, and would end the session of another studio on this host. The port is the one that the
    browser sees, which a tunnel may have changed.
    """
    port = urlsplit(f"//{host}").port
    return SESSION_COOKIE if port is None else f"{SESSION_COOKIE}_{port}"


def session_cookie(headers: Headers) -> str | None:
    """Read as browsers write them: other programs on this machine leave cookies here that no standard allows."""
    jar: dict[str, str] = {}
    for header in headers.getlist("cookie"):
        jar |= cookie_parser(header)
    return jar.get(session_cookie_name(headers["host"]))


def _login_redirect(scope: Scope, headers: Headers) -> Response | None:
    """Somebody who opens a page in a browser is shown the way in."""
    wants_page = scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if not wants_page:
        return None
    query = scope.get("query_string", b"").decode("latin-1")
    target = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{scope.get('root_path', '')}/login?next={quote(target, safe='')}", status_code=303)


def _unauthorized() -> Response:
    error = AccessError(
        "a token is needed: send it as Authorization: Bearer, or log in at /login", field="Authorization"
    )
    return error_response(401, error, headers={"WWW-Authenticate": "Bearer"})


def _slow_down(wait_s: int) -> Response:
    error = AccessError(f"too many wrong tokens came from this address; ask again in {wait_s} s", field="Authorization")
    return error_response(429, error, headers={"Retry-After": str(wait_s)})
