"""Who may talk to this studio: Host, Origin and token of every http and websocket call, in one ASGI middleware.

Knows nothing of what the calls are for. A studio on a loopback address is open to this machine alone, and a foreign web
page that is open in a browser on this machine is not "this machine": its Host (DNS rebinding) or Origin gives it away.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hidream_studio.errors import AccessError
from hidream_studio.server.errors import error_response
from hidream_studio.settings import LOOPBACK_HOSTS, Settings

SESSION_COOKIE = "hidream_studio_session"
SESSION_S = 30 * 24 * 3600
OPEN_PATHS = frozenset({"/login"})  # without a token; Host and Origin are checked here too
WEBSOCKET_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1
_PROTECTIVE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),  # nobody lays a transparent studio over another page
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),  # no other site shows or reads these pictures
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class AccessRules:
    """What is accepted. `hosts` are names without a port; `any_address` accepts every IP address as Host."""

    token: str | None
    hosts: frozenset[str]
    any_address: bool

    def accepts_host(self, host: str) -> bool:
        """Whether a Host header names this machine. Any port: a tunnel may have changed it."""
        name = _host_name(host)
        if name is None:
            return False
        return name in self.hosts or (self.any_address and _is_address(name))

    def accepts_token(self, offered: str) -> bool:
        return self.token is not None and hmac.compare_digest(offered.encode(), self.token.encode())

    def new_session(self) -> str:
        """A cookie's value: when it was given, signed with the token. A new token ends all sessions."""
        issued = str(int(time.time()))
        return f"{issued}.{self._signature(issued)}"

    def accepts_session(self, offered: str) -> bool:
        issued, _, signature = offered.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(issued).encode()):
            return False
        return issued.isascii() and issued.isdigit() and int(issued) + SESSION_S > time.time()

    def _signature(self, issued: str) -> str:
        key = (self.token or "").encode()
        return hmac.new(key, b"hidream-studio session " + issued.encode(), hashlib.sha256).hexdigest()


def access_rules(settings: Settings) -> AccessRules:
    """The rules for a server on `settings.host`.

    Raises
    ------
    AccessError
        when the address can be reached from other machines and there is no token, or the token's file cannot be read.
    """
    token = read_token(settings)
    known = LOOPBACK_HOSTS | {settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
    if is_loopback(settings.host):
        return AccessRules(token, hosts=known, any_address=False)
    if token is None:
        raise AccessError(
            f"host {settings.host} can be reached from other machines, so it needs a token: "
            "set HIDREAM_STUDIO_TOKEN or --token-file FILE, or listen on 127.0.0.1",
            field="host",
        )
    own = socket.gethostname().lower()
    return AccessRules(token, hosts=known | {own, f"{own}.local", own.partition(".")[0]}, any_address=True)


def read_token(settings: Settings) -> str | None:
    """The token from the environment, else from its file; an empty one is a mistake, not "no token".

    Raises
    ------
    AccessError
        when there is one that cannot be used.
    """
    if settings.token is not None:
        token, source = settings.token.get_secret_value().strip(), "HIDREAM_STUDIO_TOKEN"
    elif settings.token_file is not None:
        source = str(settings.token_file)
        try:
            token = settings.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"the token's file {source} cannot be read: {error}", field="token_file") from error
    else:
        return None
    if not token or not token.isascii() or not token.isprintable():
        raise AccessError(f"the token of {source} is empty or holds more than printable ASCII", field="token")
    return token


def is_loopback(host: str) -> bool:
    if host.lower() in LOOPBACK_HOSTS:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class AccessMiddleware:
    """Lets through what `rules` accept; anything else never reaches the app."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await refusal(scope, receive, _with_headers(send))
        else:
            await _refuse_websocket(receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.getlist("host")
        if len(host) != 1 or not self.rules.accepts_host(host[0]):
            return _forbidden("Host", host[0] if host else "", "is not an address of this studio")
        for origin in headers.getlist("origin"):
            if not same_origin(origin, host[0]):
                return _forbidden("Origin", origin, "is not this studio: web pages of others may not use it")
        if _cross_site_read(scope, headers):
            return _forbidden(
                "Sec-Fetch-Site", headers["sec-fetch-site"], "web pages of others may not use this studio"
            )
        if self.rules.token is None or scope["path"] in OPEN_PATHS or self._known(headers):
            return None
        return _login_redirect(scope, headers) or _unauthorized()

    def _known(self, headers: Headers) -> bool:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.rules.accepts_token(credentials.strip())
        cookie = session_cookie(headers)
        return cookie is not None and self.rules.accepts_session(cookie)


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


def _login_redirect(scope: Scope, headers: Headers) -> Response | None:
    """Somebody who opens a page in a browser is shown the way in."""
    wants_page = scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if not wants_page:
        return None
    query = scope.get("query_string", b"").decode("latin-1")
    target = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", status_code=303)


def _forbidden(header: str, value: str, why: str) -> Response:
    shown = value[:100].encode("ascii", "backslashreplace").decode("ascii")
    return error_response(403, AccessError(f"{header} {shown!r} {why}", field=header))


def _unauthorized() -> Response:
    error = AccessError(
        "a token is needed: send it as Authorization: Bearer, or log in at /login", field="Authorization"
    )
    return error_response(401, error, headers={"WWW-Authenticate": "Bearer"})


async def _refuse_websocket(receive: Receive, send: Send) -> None:
    """Closed before it is accepted, which servers answer with 403."""
    if (await receive())["type"] == "websocket.connect":
        await send({"type": "websocket.close", "code": WEBSOCKET_POLICY_VIOLATION})


def _with_headers(send: Send) -> Send:
    async def send_protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", ())}
            added = [pair for pair in _PROTECTIVE_HEADERS if pair[0] not in present]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return send_protected


def _host_name(host: str) -> str | None:
    """The name of a Host header in lower case, without port and brackets; None when it is no such thing."""
    if not host or any(c in host for c in "/?#@\\ \t"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises when it is no number
        return parts.hostname.removesuffix(".") if parts.hostname else None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
