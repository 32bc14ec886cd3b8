"""A picture from a running server, over its HTTP interface. Holds no model; a stop of this program cancels its job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from hidream_studio.cli.progress import Progress
from hidream_studio.errors import AccessError, RemoteError, RequestError
from hidream_studio.job.request import GenerationRequest
from hidream_studio.server.access import read_token
from hidream_studio.settings import Settings

POLL_S = 0.1
TIMEOUT_S = 30.0
PATIENCE_S = 60.0  # how long a server that we have talked to may be away: it restarts, and the job is still there


def draw_remotely(
    url: str,
    request: GenerationRequest,
    settings: Settings,
    pictures: Sequence[tuple[str, bytes]] = (),  # to draw from: name and bytes of each
) -> tuple[bytes, dict[str, Any]]:
    """The PNG, and what the server tells of it.

    Raises
    ------
    RequestError
        when the request is refused; names the field.
    RemoteError
        when no studio answers there, or the job fails.
    """
    if not _is_address(url):
        raise RequestError(f"--url {url!r} is no address; write it as http://127.0.0.1:7860", field="url")
    token = read_token(settings)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT_S) as client:
        body = request.model_dump(exclude_none=True, exclude_unset=True)
        if pictures:
            body["references"] = [{"upload_id": _uploaded(client, *picture)} for picture in pictures]
        job = _json(client, "POST", "/api/jobs", json=body)
        try:
            job = _ended(client, job)
        except BaseException:
            _cancel_quietly(client, job["id"])
            raise
        if job["state"] != "finished":
            reason = job.get("error", {}).get("message", f"it was {job['state']}")
            raise RemoteError(f"{url} did not draw it: {reason}")
        png = _answer(client, "GET", f"/api/images/{job['image_id']}/file").content
    return png, {
        "server": url,
        **{name: value for name, value in job.items() if name not in ("state", "step", "wait_s")},
    }


def _uploaded(client: httpx.Client, name: str, data: bytes) -> str:
    """The id under which the server keeps a picture."""
    answer = _answer(client, "POST", "/api/uploads", files={"file": (name, data)})
    try:
        return str(answer.json()["uploads"][0]["id"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise RemoteError(f"{client.base_url} is no HiDream Studio that takes pictures as input") from None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is none
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _ended(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    lost_s: float | None = None
    with Progress() as progress:
        while job["state"] in ("queued", "running"):
            if job["state"] == "queued":
                progress.phase(f"waiting, place {job['position']}" if job.get("position") else "waiting")
            elif job.get("step"):
                progress.step(job["step"], job["steps"])
            time.sleep(POLL_S)
            try:
                job = _json(client, "GET", f"/api/jobs/{job['id']}")
                lost_s = None
            except httpx.TransportError as error:
                lost_s = lost_s or time.monotonic()
                if time.monotonic() - lost_s > PATIENCE_S:
                    raise RemoteError(f"{client.base_url} has not answered for {PATIENCE_S:.0f} s: {error}") from error
                progress.phase("the server does not answer; trying again")
                time.sleep(1)
    return job


def _cancel_quietly(client: httpx.Client, job_id: str) -> None:
    try:
        client.delete(f"/api/jobs/{job_id}")
    except httpx.HTTPError:
        pass  # it is gone, and we are going


def _json(client: httpx.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    answer = _answer(client, method, path, **more)
    try:
        values = answer.json()
    except ValueError:
        values = None
    if not isinstance(values, dict) or "id" not in values or "state" not in values:
        raise RemoteError(f"{client.base_url} is no HiDream Studio: {method} {path} answered something else")
    return values


def _answer(client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    try:
        answer = client.request(method, path, **more)
    except httpx.TransportError as error:
        if method == "GET" and path.startswith("/api/jobs/"):
            raise
        raise RemoteError(
            f"no server answers at {client.base_url} ({error}); start one with: hidream-studio serve"
        ) from error
    if answer.is_success:
        return answer
    try:
        detail = answer.json()["error"]
        message, field = str(detail["message"]), detail.get("field")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RemoteError(
            f"{client.base_url} is no HiDream Studio: {method} {path} answered {answer.status_code}"
        ) from None
    if answer.status_code == 422:
        raise RequestError(message, field=field)
    if answer.status_code == 401:
        raise AccessError(f"{client.base_url} wants its token: set HIDREAM_STUDIO_TOKEN or --token-file FILE")
    if answer.status_code == 403:
        raise AccessError(f"{client.base_url} refuses: {message}")
    raise RemoteError(f"{client.base_url} refuses: {message}")
