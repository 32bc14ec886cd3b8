"""Every error as one shape, and the one place where an error becomes an HTTP status.

Knows nothing of single calls. `{"error": {"code", "message", "field"?, "limit"?}}`, always in ASCII JSON, so that a
lone surrogate that somebody sent cannot break the answer that complains about it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hidream_studio import errors
from hidream_studio.job.record import JobView
from hidream_studio.job.validation import request_error

logger = logging.getLogger(__name__)

STATUS_OF_CODE: Mapping[str, int] = {
    errors.RequestError.code: 422,
    errors.PromptError.code: 422,
    errors.NotFoundError.code: 404,
    errors.ConflictError.code: 409,
    errors.JobCancelled.code: 409,
    errors.QueueFullError.code: 429,
    errors.AccessError.code: 403,
    errors.CheckpointError.code: 503,
    errors.LoraError.code: 422,
    errors.DeviceError.code: 503,
    errors.OutOfMemoryError.code: 507,
    errors.WorkerError.code: 503,
    errors.NumericError.code: 502,
    errors.LibraryError.code: 507,
    errors.StorageFullError.code: 507,
    errors.RemoteError.code: 502,
}
WEBSOCKET_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1
_CODE_OF_STATUS = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}


class ErrorDetail(BaseModel):
    code: str
    message: str
    field: str | None = None
    limit: Any = None


class ErrorBody(BaseModel):
    """The answer to everything that did not work."""

    error: ErrorDetail


FORM_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")
_MEANINGS = {
    401: "a token is needed",
    403: "Host, Origin or token is not accepted",
    404: "nothing of that id",
    409: "its state forbids it",
    413: "the body is larger than the limit",
    422: "the request cannot be done as asked; names the field and its limit",
    429: "the queue is full, or too many wrong tokens came from this address; Retry-After says when to ask again",
    502: "the worker could not draw this picture, or died of it twice; says why",
    503: "the model cannot be loaded; says why",
    507: "the disk is full, the data folder cannot be written, or the device's memory was not enough",
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that may fail with `statuses`."""
    return {status: {"model": ErrorBody, "description": _MEANINGS[status]} for status in sorted(statuses)}


EVERYWHERE = answers(401, 403, 413, 422, 429, 507)  # refused by the middleware, an unfit value, a broken data folder


def error_detail(error: errors.StudioError) -> dict[str, Any]:
    """The inside of the one shape."""
    detail: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.field is not None:
        detail["field"] = error.field
    if error.limit is not None:
        detail["limit"] = _plain(error.limit)
    return detail


def error_response(status: int, error: errors.StudioError, *, headers: Mapping[str, str] | None = None) -> Response:
    return _json_response(status, error_detail(error), headers)


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers an http call with `response`; closes a websocket before it is accepted, which servers answer with 403."""
    if scope["type"] == "http":
        await response(scope, receive, send)
    elif (await receive())["type"] == "websocket.connect":
        await send({"type": "websocket.close", "code": WEBSOCKET_POLICY_VIOLATION})


def job_failure(view: JobView) -> errors.StudioError:
    """The exception for a job that ended without a picture."""
    if view.state == "cancelled":
        return errors.JobCancelled(f"job {view.id} was cancelled")
    if view.error is None:
        return JobFailed(f"job {view.id} failed and left no reason")
    return JobFailed(view.error.message, cause=view.error.code)


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(errors.StudioError, _on_studio_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)


async def _on_studio_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.StudioError)
    headers = {}
    if isinstance(error, errors.QueueFullError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    status = STATUS_OF_CODE.get(error.code, 500)
    if isinstance(error, JobFailed) and status in (500, 503):  # the server is there, but its worker had no picture
        status = 502
    return error_response(status, error, headers=headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    kind = _content_type(request)
    unread = any(one["loc"][0] == "body" and isinstance(one.get("input"), bytes) for one in error.errors())
    if unread and not kind.endswith("json"):
        message = f"the Content-Type is {_ascii(kind)}; it must be application/json"
        return error_response(422, errors.RequestError(message, field="Content-Type", limit="application/json"))
    return error_response(422, request_error(error.errors()))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # FastAPI's, for a body that no reader takes in
        return error_response(422, errors.RequestError(_unreadable(request, str(error.detail)), field="body"))
    message = {404: f"there is no {_ascii(request.url.path)} here", 405: f"{request.method} is not for this path"}
    detail = {
        "code": _CODE_OF_STATUS.get(error.status_code, "http_error"),
        "message": message.get(error.status_code, str(error.detail)),
    }
    if isinstance(error, BodyTooLarge):
        return body_too_large_response(error.limit_bytes, error.instead)
    return _json_response(error.status_code, detail, error.headers)


def _unreadable(request: Request, why: str) -> str:
    """What is wrong with a body, by the kind that it says to be: forms say why; JSON is nested too deep, or endless."""
    if _content_type(request) in FORM_TYPES:
        return f"the body is no form that can be read: {_ascii(why)}"
    return "the body is no JSON that can be read"


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _on_bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = {"code": "internal", "message": "this is a fault of the studio itself; its log holds the details"}
    return _json_response(500, detail, None)


class JobFailed(errors.StudioError):
    """A picture that could not be drawn; `code` is that of its reason."""

    def __init__(self, message: str, *, cause: str = errors.WorkerError.code) -> None:
        super().__init__(message)
        self.code = cause


class BodyTooLarge(HTTPException):
    """An HTTPException, because FastAPI turns any other that is raised while it reads a body into a 400."""

    def __init__(self, limit_bytes: int, instead: str | None = None) -> None:
        super().__init__(413, f"the body is larger than {limit_bytes:,} bytes")
        self.limit_bytes = limit_bytes
        self.instead = instead


def body_too_large_response(limit_bytes: int, instead: str | None = None) -> Response:
    """`instead` says what to do, where there is a way."""
    message = f"the body is larger than {limit_bytes:,} bytes{f'; {instead}' if instead else ''}"
    return _json_response(
        413, {"code": "body_too_large", "message": message, "field": "body", "limit": limit_bytes}, None
    )


def _json_response(status: int, detail: Mapping[str, Any], headers: Mapping[str, str] | None) -> Response:
    body = json.dumps({"error": detail}).encode("ascii")
    return Response(body, status_code=status, media_type="application/json", headers=dict(headers or {}))


def _plain(value: object) -> object:
    return value if isinstance(value, (bool, int, float, str, list, tuple)) else str(value)


def _ascii(text: str) -> str:
    return text[:200].encode("ascii", "backslashreplace").decode("ascii")
