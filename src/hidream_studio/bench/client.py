"""One picture over HTTP, timed from outside, from this server or from any of the OpenAI image shape.

Knows nothing of plans or files. Every failure is a RemoteError, or a RequestError where the server refuses the request.
"""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from hidream_studio.bench.plan import Asked, Fixed, Resolved, Variant
from hidream_studio.errors import RemoteError, RequestError
from hidream_studio.settings import LOOPBACK_HOSTS

CONNECT_TIMEOUT_S = 10.0
QUICK_TIMEOUT_S = 30.0  # of calls that draw nothing
OPENAI_DEFAULT_SIZE = (1024, 1024)  # of the OpenAI API
OPENAI_OFFICIAL = Variant("official", 50, 5.0)  # upstream's recipe; a server of another kind names none


@dataclass(frozen=True)
class Answer:
    """One picture and what it took. Server-side figures are None where the server tells none."""

    png: bytes
    client_s: float  # from sending to the last byte
    elapsed_s: float | None = None  # the server's own, without waiting
    queued_s: float | None = None
    timings: dict[str, float] = field(default_factory=dict)  # text_s, steps_s, decode_s, png_s
    resolved: Resolved | None = None
    image_id: str | None = None


@dataclass(frozen=True)
class Request:
    """One picture's request, in the bench's own words."""

    prompt: str
    seed: int
    variant: Variant
    size: Asked
    snap_resolution: bool


@dataclass(frozen=True)
class Recipe:
    """What a server's model is run with where nobody says otherwise."""

    size: Asked
    steps: int
    guidance_scale: float


class ImageServer(Protocol):
    """What a benchmark needs of a server."""

    def identify(self) -> dict[str, Any]:
        """What the server says of itself: device, precision, model, … as far as it tells."""
        ...

    def official(self) -> Recipe: ...

    def resolve(self, request: Request) -> Resolved | None:
        """What the request would become; None where only drawing it tells."""
        ...

    def estimate_s(self, request: Request) -> float | None: ...

    def draw(self, request: Request) -> Answer: ...

    def close(self) -> None: ...


class StudioServer:
    """HiDream Studio: POST /generate/t2i and its neighbours."""

    def __init__(self, url: str, fixed: Fixed, *, token: str | None = None, timeout_s: float = 3600.0) -> None:
        self._http = _Http(url, token, timeout_s)
        self._fixed = fixed

    def identify(self) -> dict[str, Any]:
        response = self._http.get("/health")
        health = self._http.json_object(response, "GET /health", ok=(200, 503))
        if not {"ready", "phase", "model"} <= health.keys():
            raise RemoteError(
                f"{self._http.url} answers, but not as HiDream Studio; for a server of the OpenAI image shape add "
                "--api openai"
            )
        if health.get("phase") == "failed":
            raise RemoteError(f"{self._http.url} cannot draw: {health.get('reason') or 'its model did not load'}")
        return health

    def official(self) -> Recipe:
        answer = self._http.json_object(self._http.get("/api/presets"), "GET /api/presets")
        try:
            profile = answer["profile"]
            recipe = profile["recipes"][self._fixed.recipe or profile["default_recipe"]]
            side = int(profile["native_side"])
            return Recipe((side, side), int(recipe["steps"]), float(recipe["guidance_scale"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteError(f"{self._http.url}: GET /api/presets names no recipe ({error})") from error

    def resolve(self, request: Request) -> Resolved:
        answer = self._http.json_object(self._http.post("/api/resolve", self._body(request)), "POST /api/resolve")
        return _resolved(answer, self._http.url)

    def estimate_s(self, request: Request) -> float | None:
        answer = self._http.json_object(self._http.post("/api/estimate", self._body(request)), "POST /api/estimate")
        return _number(answer.get("seconds"))

    def draw(self, request: Request) -> Answer:
        started = time.perf_counter()
        response = self._http.post("/generate/t2i", self._body(request), wait=True)
        client_s = time.perf_counter() - started
        answer = self._http.json_object(response, "POST /generate/t2i")
        timings = answer.get("timings")
        return Answer(
            png=_png(answer.get("image"), self._http.url),
            client_s=client_s,
            elapsed_s=_number(answer.get("elapsed_s")),
            queued_s=_number(answer.get("queued_s")),
            timings={k: float(v) for k, v in timings.items()} if isinstance(timings, dict) else {},
            resolved=_resolved(answer, self._http.url),
            image_id=str(answer["id"]) if "id" in answer else None,
        )

    def close(self) -> None:
        self._http.close()

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "prompt": request.prompt,
            "seed": request.seed,
            "steps": request.variant.steps,
            "guidance_scale": request.variant.guidance_scale,
            "width": request.size[0],
            "height": request.size[1],
            "snap_resolution": request.snap_resolution,
            "noise": self._fixed.noise,
            "sampler": self._fixed.sampler,
            "recipe": self._fixed.recipe,
            "negative_prompt": self._fixed.negative_prompt,
        }
        return {name: value for name, value in body.items() if value is not None}


class OpenAiServer:
    """Any server of the OpenAI image shape: POST /v1/images/generations with the usual extras. Tells no timings."""

    def __init__(self, url: str, fixed: Fixed, *, token: str | None = None, timeout_s: float = 3600.0) -> None:
        self._http = _Http(url, token, timeout_s)
        self._fixed = fixed

    def identify(self) -> dict[str, Any]:
        answer = self._http.json_object(self._http.get("/v1/models"), "GET /v1/models")
        models = answer.get("data")
        if not isinstance(models, list):
            raise RemoteError(f"{self._http.url} answers GET /v1/models, but not in the OpenAI shape")
        return {"models": [str(model.get("id")) for model in models if isinstance(model, dict)]}

    def official(self) -> Recipe:
        return Recipe(OPENAI_DEFAULT_SIZE, OPENAI_OFFICIAL.steps, OPENAI_OFFICIAL.guidance_scale)

    def resolve(self, request: Request) -> None:
        return None

    def estimate_s(self, request: Request) -> None:
        return None

    def draw(self, request: Request) -> Answer:
        body = {
            "model": self._fixed.model,
            "prompt": request.prompt,
            "n": 1,
            "size": f"{request.size[0]}x{request.size[1]}",
            "response_format": "b64_json",
            "num_inference_steps": request.variant.steps,
            "guidance_scale": request.variant.guidance_scale,
            "seed": request.seed,
            "negative_prompt": self._fixed.negative_prompt,
        }
        if request.snap_resolution:
            body["snap_resolution"] = True  # ours; others are not sent what they may refuse
        body = {name: value for name, value in body.items() if value is not None}
        started = time.perf_counter()
        response = self._http.post("/v1/images/generations", body, wait=True)
        client_s = time.perf_counter() - started
        answer = self._http.json_object(response, "POST /v1/images/generations")
        data = answer.get("data")
        if not isinstance(data, list) or not data or not isinstance(data[0], dict):
            raise RemoteError(f"{self._http.url}: POST /v1/images/generations answered without a picture")
        return Answer(png=_png(data[0].get("b64_json"), self._http.url), client_s=client_s)

    def close(self) -> None:
        self._http.close()


class _Http:
    """httpx, with every failure turned into one sentence."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self.url = checked_url(url)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        local = urlsplit(self.url).hostname in LOOPBACK_HOSTS
        self._client = httpx.Client(base_url=self.url, headers=headers, trust_env=not local)  # no proxy to this machine
        self._timeout_s = timeout_s

    def get(self, path: str) -> httpx.Response:
        return self._send("GET", path, None, QUICK_TIMEOUT_S)

    def post(self, path: str, body: dict[str, Any], *, wait: bool = False) -> httpx.Response:
        return self._send("POST", path, body, self._timeout_s if wait else QUICK_TIMEOUT_S)

    def close(self) -> None:
        self._client.close()

    def json_object(self, response: httpx.Response, what: str, *, ok: tuple[int, ...] = (200,)) -> dict[str, Any]:
        """The answer's JSON object, or the error that the server tells."""
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code in ok and isinstance(answer, dict):
            return answer
        message = _error_message(answer)
        if response.status_code in (400, 422) and message is not None:
            raise RequestError(f"the server refuses: {message}", field=_error_field(answer))
        if response.status_code in (401, 403):
            hint = "set HIDREAM_STUDIO_TOKEN or --token-file" if response.status_code == 401 else "check --url"
            raise RemoteError(f"{self.url} does not let us in ({message or response.status_code}); {hint}")
        if response.status_code in (404, 405) or (response.status_code in ok and not isinstance(answer, dict)):
            raise RemoteError(
                f"{self.url} does not know {what} ({response.status_code}): is it a server of another API? "
                "--api is studio or openai"
            )
        raise RemoteError(f"{self.url}: {what} failed with {response.status_code}: {message or 'no reason told'}")

    def _send(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> httpx.Response:
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        try:
            return self._client.request(method, path, json=body, timeout=timeout)
        except httpx.ConnectError as error:
            raise RemoteError(
                f"no server answers at {self.url} ({error}); start one with hidream-studio serve, or give --url"
            ) from error
        except httpx.TimeoutException as error:
            raise RemoteError(f"{self.url} did not answer {method} {path} within {timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise RemoteError(
                f"{self.url} went away during {method} {path} ({error or type(error).__name__})"
            ) from error


def checked_url(url: str) -> str:
    """The server's address without a trailing slash. Raises RequestError when it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(f"--url {url!r} is no address like http://127.0.0.1:7860", field="url")
    return url.rstrip("/")


def _error_message(answer: object) -> str | None:
    """The sentence of our error shape, OpenAI's, or FastAPI's."""
    if not isinstance(answer, dict):
        return None
    error = answer.get("error", answer.get("detail"))
    if isinstance(error, dict):
        error = error.get("message")
    return None if error is None else " ".join(str(error).split())[:300]


def _error_field(answer: object) -> str | None:
    error = answer.get("error") if isinstance(answer, dict) else None
    field_name = error.get("field") if isinstance(error, dict) else None
    return field_name if isinstance(field_name, str) else None


def _resolved(answer: dict[str, Any], url: str) -> Resolved:
    try:
        guidance = float(answer["guidance_scale"])
        return Resolved(
            width=int(answer["width"]),
            height=int(answer["height"]),
            steps=int(answer["steps"]),
            guidance_scale=guidance,
            cfg=bool(answer.get("cfg", guidance > 1)),
            notes=tuple(_note(change) for change in answer.get("adjustments", [])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteError(f"{url} answers, but not as HiDream Studio does (it lacks {error})") from error


def _note(change: dict[str, Any]) -> str:
    asked, used = change.get("asked"), change.get("used")
    became = f"{asked}" if asked == used else f"{asked} → {used}"
    return f"{change.get('field')} {became}: {change.get('why')}"


def _png(encoded: object, url: str) -> bytes:
    if not isinstance(encoded, str):
        raise RemoteError(f"{url} answered without a picture in base64")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteError(f"{url} answered with a picture that is no base64: {error}") from error


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
