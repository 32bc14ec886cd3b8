"""The page: explore cheap, finish the picks. Draws and forwards; decides nothing about jobs or pictures itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from hidream_studio.errors import NotFoundError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

    from hidream_studio.service.studio import Studio

RECONNECT_TIMEOUT_S = 60.0  # a laptop lid closed for a moment must not cost the page its state
STATIC = Path(__file__).parent / "static"
SHEET_URL = "/studio/sheets/{sheet_id}.png"


def mount(app: FastAPI, studio: Studio) -> None:
    """Serve the page at `/` of `app`; call it after every other route is there, since it answers all other paths.

    NiceGUI keeps one app per process: a second `mount` (another server in one test process) takes the page over.
    """
    from nicegui import core, ui
    from starlette.responses import PlainTextResponse, Response

    from hidream_studio.studio.contact import sheet_png
    from hidream_studio.studio.page import ASSETS_URL, build_page

    core.app.user_middleware.clear()  # of an earlier mount in this process
    core.app.middleware_stack = None
    if not any(getattr(route, "path", None) == ASSETS_URL for route in core.app.routes):
        core.app.add_static_files(ASSETS_URL, STATIC)

    async def index() -> None:
        await build_page(studio)

    async def sheet(sheet_id: str) -> Response:
        try:
            return Response(await asyncio.to_thread(sheet_png, studio, sheet_id), media_type="image/png")
        except NotFoundError as error:
            return PlainTextResponse(error.message, status_code=404)

    core.app.remove_route(SHEET_URL)
    core.app.add_api_route(SHEET_URL, sheet, response_model=None, include_in_schema=False)
    ui.page("/", title="HiDream Studio")(index)
    ui.run_with(
        app,
        title="HiDream Studio",
        viewport="width=device-width, initial-scale=1, viewport-fit=cover",
        favicon=STATIC / "favicon.svg",
        dark=None,
        language="en-US",
        reconnect_timeout=RECONNECT_TIMEOUT_S,
        binding_refresh_interval=None,
        tailwind=False,
        show_welcome_message=False,
    )
