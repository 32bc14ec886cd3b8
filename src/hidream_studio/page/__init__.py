"""The page: explore cheap, finish the picks. Draws and forwards; decides nothing about jobs or pictures itself."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from hidream_studio.errors import NotFoundError
from hidream_studio.page.addresses import ASSETS, ASSETS_URL, asset, set_prefix

if TYPE_CHECKING:
    from fastapi import FastAPI

    from hidream_studio.service.studio import Studio

RECONNECT_TIMEOUT_S = 60.0  # a laptop lid closed for a moment must not cost the page its state
SHEET_URL = "/_studio/sheets/{sheet_id}.png"

_NOTHING_HERE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Nothing here · HiDream Studio</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
  body { font: 15px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0 }
</style>
</head><body><p>There is nothing at this address. <a href="{home}">To the studio</a></p></body></html>
"""


def mount(app: FastAPI, studio: Studio, root_path: str = "") -> None:
    """Serve the page at `/` of `app`; call it after every other route is there, since it answers all other paths.

    NiceGUI keeps one app per process: a second `mount` (another server in one test process) takes the page over.
    """
    from nicegui import core, ui
    from starlette.responses import PlainTextResponse

    from hidream_studio.page.contact import sheet_png
    from hidream_studio.page.page import build_page

    set_prefix(root_path)
    core.app.user_middleware.clear()  # of an earlier mount in this process
    core.app.middleware_stack = None
    if not any(getattr(route, "path", None) == ASSETS_URL for route in core.app.routes):
        core.app.add_static_files(ASSETS_URL, ASSETS)

    async def index() -> None:
        await build_page(studio)

    async def sheet(sheet_id: str) -> Response:
        try:
            return Response(await sheet_png(studio, sheet_id), media_type="image/png")
        except NotFoundError as error:
            return PlainTextResponse(error.message, status_code=404)

    core.app.exception_handlers[404] = _nothing_here  # NiceGUI's own builds a whole page for every wrong address
    core.app.remove_route(SHEET_URL)
    core.app.add_api_route(SHEET_URL, sheet, response_model=None, include_in_schema=False)
    core.app.config.quasar_config["loadingBar"] = {"skipHijack": True}  # a file that is sent has a bar of its own
    ui.page("/", title="HiDream Studio")(index)
    ui.run_with(
        app,
        title="HiDream Studio",
        viewport="width=device-width, initial-scale=1, viewport-fit=cover",
        favicon=ASSETS / "favicon.svg",
        dark=None,
        language="en-US",
        reconnect_timeout=RECONNECT_TIMEOUT_S,
        binding_refresh_interval=None,
        tailwind=False,
        show_welcome_message=False,
    )


async def _nothing_here(request: Request, _error: Exception) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        home = html.escape(asset("/"), quote=True)
        return HTMLResponse(_NOTHING_HERE.replace("{home}", home), status_code=404)
    path = request.url.path[:200].encode("ascii", "backslashreplace").decode("ascii")
    return JSONResponse({"error": {"code": "not_found", "message": f"there is no {path} here"}}, status_code=404)
