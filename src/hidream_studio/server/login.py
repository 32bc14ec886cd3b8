"""The way in for a browser: a page that takes the token and leaves a cookie. Only where there is a token."""

from __future__ import annotations

import asyncio
import html
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from hidream_studio.server.access import SESSION_COOKIE, SESSION_S, AccessRules

router = APIRouter(include_in_schema=False)

WRONG_TOKEN_DELAY_S = 0.5
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>HiDream Studio</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; background: #16171a; color: #e8e8ea; display: grid; place-items: center;
         min-height: 90vh; margin: 0 }}
  form {{ display: grid; gap: .75rem; width: min(22rem, 90vw) }}
  input, button {{ font: inherit; padding: .6rem .8rem; border-radius: .4rem; border: 1px solid #44464d }}
  input {{ background: #0f1012; color: inherit }}
  button {{ background: #4f7cff; color: #fff; border-color: transparent; cursor: pointer }}
  [role=alert] {{ color: #ff9c8f; margin: 0 }}
</style></head>
<body><form method="post" action="/login">
<h1>HiDream Studio</h1>
{alert}<label for="token">Token of this server</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{next}">
<button>Log in</button>
</form></body></html>
"""


@router.get("/login")
async def login_page(
    request: Request, next_path: Annotated[str, Query(alias="next", max_length=4000)] = "/"
) -> Response:
    if _rules(request).token is None:
        return RedirectResponse("/", status_code=303)
    return _page(next_path)


@router.post("/login")
async def login(
    request: Request,
    token: Annotated[str, Form(max_length=10_000)],
    next_path: Annotated[str, Form(alias="next", max_length=4000)] = "/",
) -> Response:
    rules = _rules(request)
    if not rules.accepts_token(token.strip()):
        await asyncio.sleep(WRONG_TOKEN_DELAY_S)
        return _page(next_path, alert="That is not the token.", status=401)
    answer = RedirectResponse(_local_path(next_path), status_code=303, headers=_HEADERS)
    answer.set_cookie(
        SESSION_COOKIE, rules.new_session(), max_age=SESSION_S, path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.post("/logout")
async def logout() -> Response:
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def _rules(request: Request) -> AccessRules:
    return cast(AccessRules, request.app.state.access_rules)


def _page(next_path: str, *, alert: str = "", status: int = 200) -> Response:
    warning = f'<p role="alert">{html.escape(alert)}</p>\n' if alert else ""
    text = _PAGE.format(alert=warning, next=html.escape(_local_path(next_path), quote=True))
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def _local_path(path: str) -> str:
    """`path` where it stays on this server, else the page: nobody is led elsewhere after logging in."""
    stays = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if stays else "/"
