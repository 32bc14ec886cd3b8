"""A real HTTP server of the bench's contract that draws blurred noise in no time: for what no studio can be made to do.

It answers in the studio's shape or in OpenAI's, and can die, refuse, or be something else altogether.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from hidream_studio.errors import RequestError
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.request import GenerationRequest

HEALTH = {
    "ready": True, "phase": "ready", "version": "1", "model": "small", "profile": "o1-tiny", "device": "cpu",
    "precision": "fp32", "fingerprint": "small-1", "numeric_path": "cpu", "worker_restarts": 0,
}  # fmt: skip


@dataclass
class SmallServer:
    """What it was asked, and how it is to behave."""

    url: str = ""
    health: dict[str, Any] = field(default_factory=lambda: dict(HEALTH))
    drawn: list[dict[str, Any]] = field(default_factory=list)
    dies_after: int | None = None  # pictures
    is_website: bool = False
    token: str | None = None
    counter: int = 0  # makes every picture differ when `unsteady`
    unsteady: bool = False
    queued_s: float = 0.0


@contextmanager
def small_server(**behaviour: Any) -> Iterator[SmallServer]:
    state = SmallServer(**behaviour)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def picture(seed: int, width: int, height: int, steps: int) -> bytes:
    """A PNG that comes closer to its last state with more steps, at every size alike."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    image = image.filter(ImageFilter.GaussianBlur(40 / steps))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _handler(state: SmallServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self._is_locked():
                return
            if state.is_website:
                self._send(200, b"<html>hello</html>", "text/html")
            elif self.path == "/health":
                self._json(200 if state.health["ready"] else 503, state.health)
            elif self.path == "/api/presets":
                profile = profile_by_id("o1-tiny").model_dump(mode="json", exclude={"presets"})
                self._json(200, {"profile": profile, "presets": []})
            elif self.path == "/v1/models":
                self._json(200, {"object": "list", "data": [{"id": "some-model", "object": "model"}]})
            else:
                self._json(404, {"error": {"code": "not_found", "message": f"there is no {self.path} here"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self._is_locked():
                return
            if self.path == "/v1/images/generations":
                width, height = (int(side) for side in body["size"].split("x"))
                png = self._draw(body, width, height, body["num_inference_steps"])
                if png is not None:
                    self._json(200, {"created": 0, "data": [{"b64_json": base64.b64encode(png).decode()}]})
                return
            try:
                job = pin(GenerationRequest.model_validate(body), profile_by_id("o1-tiny")).job
            except RequestError as error:
                self._json(422, {"error": {"code": error.code, "message": error.message, "field": error.field}})
                return
            told = {
                "width": job.width, "height": job.height, "steps": job.steps, "guidance_scale": job.guidance_scale,
                "cfg": job.cfg, "adjustments": [],
            }  # fmt: skip
            seconds = 0.001 * job.steps * (2 if job.cfg else 1) * job.image_tokens / 64
            if self.path == "/api/resolve":
                self._json(200, told)
            elif self.path == "/api/estimate":
                self._json(200, {"seconds": seconds, "low_s": seconds / 2, "high_s": seconds * 2})
            else:
                png = self._draw(body, job.width, job.height, job.steps)
                if png is not None:
                    timings = {"text_s": 0.0, "steps_s": seconds, "decode_s": 0.0, "png_s": 0.0}
                    image = base64.b64encode(png).decode()
                    self._json(200, told | {
                        "id": f"i{len(state.drawn)}", "elapsed_s": seconds, "queued_s": state.queued_s,
                        "timings": timings, "image": image,
                    })  # fmt: skip

        def _draw(self, body: dict[str, Any], width: int, height: int, steps: int) -> bytes | None:
            if state.dies_after is not None and len(state.drawn) >= state.dies_after:
                self.connection.close()  # as a process that is gone
                return None
            state.drawn.append(body)
            state.counter += 1
            return picture(body["seed"] + (state.counter if state.unsteady else 0), width, height, steps)

        def _is_locked(self) -> bool:
            if state.token is None or self.headers.get("Authorization") == f"Bearer {state.token}":
                return False
            self._json(401, {"error": {"code": "access_denied", "message": "a token is needed"}})
            return True

        def _json(self, status: int, values: dict[str, Any]) -> None:
            self._send(status, json.dumps(values).encode(), "application/json")

        def _send(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
