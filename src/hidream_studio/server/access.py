"""Who may talk to this studio: which Host, which token, which session. Knows no single call; the middlewares ask it."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from hidream_studio.errors import AccessError
from hidream_studio.settings import LOOPBACK_HOSTS, Settings

SESSION_S = 30 * 24 * 3600
MIN_TOKEN_CHARS = 12  # guesses.py lets through ten a minute


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
        if self.token is None:
            return False
        return hmac.compare_digest(offered.encode("utf-8", "surrogatepass"), self.token.encode())

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
        when the address can be reached from other machines and there is no token, or the token cannot be used.
    """
    token = read_token(settings)
    if token is not None and len(token) < MIN_TOKEN_CHARS:
        raise AccessError(
            f"the token has {len(token)} characters; it must have at least {MIN_TOKEN_CHARS}, and nobody should guess "
            'it: python3 -c "import secrets; print(secrets.token_urlsafe())" prints a good one',
            field="token",
            limit=MIN_TOKEN_CHARS,
        )
    known = LOOPBACK_HOSTS | {settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
    if is_loopback(settings.host):
        return AccessRules(token, hosts=known, any_address=False)
    if token is None:
        raise AccessError(
            f"host {settings.host} can be reached from other machines, so it needs a token of at least "
            f"{MIN_TOKEN_CHARS} characters: set HIDREAM_STUDIO_TOKEN or --token-file FILE, or listen on 127.0.0.1",
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
