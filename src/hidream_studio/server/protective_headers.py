"""Headers that keep other sites from framing, embedding or guessing what is answered. Refuses nothing."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hidream_studio.server.links import Links

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),  # nobody lays a transparent studio over another page
    (b"referrer-policy", b"same-origin"),
)
_OWN_SITE = (b"cross-origin-resource-policy", b"same-origin")  # no other site shows or reads these pictures
_ANY_SITE = (b"cross-origin-resource-policy", b"cross-origin")  # but who has a signed link to one


class ProtectiveHeadersMiddleware:
    """Adds them to every answer that does not have them."""

    def __init__(self, app: ASGIApp, links: Links) -> None:
        self.app = app
        self.links = links

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = (*_HEADERS, _ANY_SITE if self.links.opens(scope) else _OWN_SITE)

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                added = [pair for pair in headers if pair[0] not in present]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self.app(scope, receive, send_protected)
