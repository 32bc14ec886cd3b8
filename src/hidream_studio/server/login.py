"""The way in for a browser: a page that takes the token and leaves a cookie. Only where there is a token."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from hidream_studio.server.access import SESSION_S, AccessRules
from hidream_studio.server.guesses import Guesses, address_of
from hidream_studio.server.token_check import session_cookie_name

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>HiDream Studio</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
  :root {{ --ground: #f4f4f5; --raised: #fff; --line: #8b8b93; --text: #18181b; --soft: #5a5a63; --ink: #18181b;
          --on-ink: #fff; --bad: #b3261e; --accent: #4250d8 }}
  @media (prefers-color-scheme: dark) {{
    :root {{ --ground: #121214; --raised: #222226; --line: #74747f; --text: #ededf0; --soft: #a3a3ae; --ink: #ededf0;
            --on-ink: #141416; --bad: #ff9c8f; --accent: #8f9bff }}
  }}
  body {{ font: 14px/1.5 "Inter Variable", system-ui, sans-serif; background: var(--ground); color: var(--text);
         display: grid; place-items: center; min-height: 90vh; margin: 0 }}
  form {{ display: grid; gap: 8px; width: min(320px, 90vw) }}
  h1 {{ margin: 0 0 12px; font-size: 20px; font-weight: 650; letter-spacing: -0.01em }}
  label {{ color: var(--soft); font-size: 12px; font-weight: 500 }}
  input, button {{ font: inherit; font-size: 16px; min-height: 42px; padding: 0 12px; border-radius: 8px;
                  border: 1px solid var(--line) }}
  input {{ background: var(--raised); color: inherit }}
  button {{ margin-top: 4px; background: var(--ink); color: var(--on-ink); border-color: var(--ink); font-weight: 600;
           cursor: pointer }}
  :focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px }}
  [role=alert] {{ color: var(--bad); margin: 0 }}
</style></head>
<body><form method="post" action="{root}/login">
<h1>HiDream Studio</h1>
{alert}<label for="token">Token of this server</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{next}">
<button>Log in</button>
</form></body></html>
"""


@router.get("/login")
async def login_page(
    request: Request, next_path: Annotated[str, Query(alias="next", max_length=4000)] = ""
) -> Response:
    if _rules(request).token is None:
        return RedirectResponse(_local_path(request, ""), status_code=303)
    return _page(request, next_path)


@router.post("/login")
async def login(
    request: Request,
    token: Annotated[str, Form(max_length=10_000)],
    next_path: Annotated[str, Form(alias="next", max_length=4000)] = "",
) -> Response:
    rules, guesses = _rules(request), cast(Guesses, request.app.state.login_guesses)
    right, wait_s = guesses.check(address_of(request.scope), token.strip(), rules.accepts_token)
    if wait_s:
        alert = f"Too many wrong tokens came from this address. Try again in {wait_s} s."
        return _page(request, next_path, alert=alert, status=429, headers={"Retry-After": str(wait_s)})
    if not right:
        return _page(request, next_path, alert="That is not the token.", status=401)
    answer = RedirectResponse(_local_path(request, next_path), status_code=303, headers=_HEADERS)
    answer.set_cookie(
        session_cookie_name(request.headers["host"]), rules.new_session(), max_age=SESSION_S,
        path=_cookie_path(request), httponly=True, samesite="strict", secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.post("/logout")
async def logout(request: Request) -> Response:
    answer = RedirectResponse(f"{_root(request)}/login", status_code=303)
    name = session_cookie_name(request.headers["host"])
    answer.delete_cookie(name, path=_cookie_path(request), httponly=True, samesite="strict")
    return answer


def _rules(request: Request) -> AccessRules:
    return cast(AccessRules, request.app.state.access_rules)


def _root(request: Request) -> str:
    return cast(str, request.scope.get("root_path", ""))


def _cookie_path(request: Request) -> str:
    """Behind a prefix not the whole host: others live there."""
    return _root(request) or "/"


def _page(
    request: Request, next_path: str, *, alert: str = "", status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    warning = f'<p role="alert">{html.escape(alert)}</p>\n' if alert else ""
    target = html.escape(_local_path(request, next_path), quote=True)
    text = _PAGE.format(alert=warning, next=target, root=html.escape(_root(request), quote=True))
    return HTMLResponse(text, status_code=status, headers={**_HEADERS, **(headers or {})})


def _local_path(request: Request, path: str) -> str:
    """`path` where it stays in this studio, else the page: nobody is led elsewhere after logging in."""
    root = _root(request)
    stays = path.startswith(f"{root}/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if stays else f"{root}/"
