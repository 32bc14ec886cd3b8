"""Puts the HTTP interface together around one studio: routers, errors, access, the page. Decides nothing itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

import hidream_studio
from hidream_studio.server import (
    docs_page,
    edit,
    event_stream,
    generate,
    health,
    images,
    jobs,
    login,
    loras,
    openai_api,
    presets,
    uploads,
)
from hidream_studio.server.access import AccessRules, access_rules
from hidream_studio.server.body_limit import BodyLimitMiddleware
from hidream_studio.server.errors import EVERYWHERE, add_error_handlers
from hidream_studio.server.guesses import Guesses
from hidream_studio.server.links import Links
from hidream_studio.server.metrics import Metrics
from hidream_studio.server.protective_headers import ProtectiveHeadersMiddleware
from hidream_studio.server.root_path import RootPathMiddleware
from hidream_studio.server.same_site import SameSiteMiddleware
from hidream_studio.server.token_check import TokenMiddleware
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

ROUTERS = (generate, edit, jobs, event_stream, images, uploads, loras, presets, openai_api, health)
OWN_PATHS = (
    "/api/{rest:path}",
    "/v1/{rest:path}",
    "/generate/{rest:path}",
    "/health",
    "/metrics",
    "/login",
    "/logout",
    "/docs",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
DESCRIPTION = (
    "Pictures from prompts, a queue with a draft and a final lane, and a library. Errors have one shape: "
    '{"error": {"code", "message", "field"?, "limit"?}}. GET /api/events tells what happens to jobs as server-sent '
    "events (queued, running, preview, finished, failed, cancelled); a reconnect with Last-Event-ID misses nothing."
)


def middleware_stack(rules: AccessRules, links: Links, root_path: str = "") -> list[Middleware]:
    """What every call passes on its way in, the first first."""
    return [
        Middleware(RootPathMiddleware, root_path=root_path),
        Middleware(ProtectiveHeadersMiddleware, links=links),
        Middleware(SameSiteMiddleware, rules=rules, links=links),
        Middleware(TokenMiddleware, rules=rules, links=links),
        Middleware(BodyLimitMiddleware),
    ]


def create_app(studio: Studio, settings: Settings, *, page: bool = True) -> FastAPI:
    """The whole server as an ASGI app; its lifespan starts and stops `studio`, but closes no library.

    `page` False leaves out the web page: it exists once a process.

    Raises
    ------
    AccessError
        when `settings.host` can be reached from other machines and there is no token.
    """
    rules, links = access_rules(settings), Links()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await studio.start()
        unfollow = app.state.metrics.follow()
        try:
            yield
        finally:
            unfollow()
            await app.state.stop_studio()

    app = FastAPI(
        title="HiDream Studio", version=hidream_studio.__version__, description=DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False,
        middleware=middleware_stack(rules, links, settings.root_path),
    )  # fmt: skip
    app.state.studio = studio
    app.state.access_rules = rules
    app.state.links = links
    app.state.login_guesses = Guesses()  # its own, so that a program with an old token does not close the way in
    app.state.metrics = Metrics(studio)
    app.state.stop_studio = _once(studio.stop)
    app.state.started_unix_s = int(time.time())
    add_error_handlers(app)
    for module in ROUTERS:
        app.include_router(module.router, responses=dict(EVERYWHERE))
    app.include_router(login.router)
    app.include_router(docs_page.router)
    for path in OWN_PATHS:  # before the page, which would answer for every path that is left
        app.router.routes.append(Route(path, _NotHere(tuple(app.router.routes)), include_in_schema=False))
    if page:
        from hidream_studio.page import mount  # NiceGUI takes a second to import

        mount(app, studio, settings.root_path)
    return app


def _once(stop: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """`stop`, run once however often it is called: by the server when a signal comes, and when the app ends."""
    running: list[asyncio.Future[None]] = []

    async def stop_once() -> None:
        if not running:
            running.append(asyncio.ensure_future(stop()))
        await asyncio.shield(running[0])

    return stop_once


class _NotHere:
    """Answers, in the one shape of errors, for paths of ours that no route takes: 405 where another method would do."""

    def __init__(self, routes: tuple[BaseRoute, ...]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = [method for method in METHODS if self._takes({**scope, "method": method})]
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        raise HTTPException(404)

    def _takes(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._routes)
