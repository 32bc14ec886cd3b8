"""Real servers for the tests: an app on a free port of this machine, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from hidream_studio.cli.serve import bound_socket
from hidream_studio.library.library import Library
from hidream_studio.server.app import create_app
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

SMALL = {"prompt": "a cat", "width": 256, "height": 256, "snap_resolution": False, "steps": 2, "seed": 1}


@contextmanager
def serving(app: ASGIApp, settings: Settings) -> Iterator[str]:
    """The app's address, e.g. `127.0.0.1:40123`."""
    with bound_socket(settings.model_copy(update={"host": "127.0.0.1", "port": 0})) as listener:
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                thread.join(0.01)
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(15)
            assert not thread.is_alive(), "the server did not stop"


@dataclass(frozen=True)
class StudioServer:
    """A whole studio behind HTTP, drawing with the tiny checkpoint of the golden values."""

    url: str
    client: httpx.Client
    studio: Studio

    def draw(self, **more: Any) -> dict[str, Any]:
        """A small picture: the answer of /generate/t2i."""
        answer = self.client.post("/generate/t2i", json={**SMALL, **more})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def queue(self, **more: Any) -> dict[str, Any]:
        answer = self.client.post("/api/jobs", json={**SMALL, **more})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def until(self, job_id: str, *states: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The job, once it is in one of `states`."""
        give_up_s = time.monotonic() + timeout_s
        while True:
            job = self.client.get(f"/api/jobs/{job_id}").json()
            if job["state"] in states:
                return dict(job)
            assert time.monotonic() < give_up_s, job
            time.sleep(0.02)


@contextmanager
def studio_server(checkpoint: Path, data: Path, **more: Any) -> Iterator[StudioServer]:
    settings = Settings(model=str(checkpoint), data=data, device="cpu", threads=1, preview_interval_s=0.0, **more)
    library = Library.open(data)
    try:
        studio = Studio(settings, library)
        with serving(create_app(studio, settings, page=False), settings) as address:
            with httpx.Client(base_url=f"http://{address}", timeout=60.0) as client:
                yield StudioServer(f"http://{address}", client, studio)
    finally:
        library.close()


def wait_until_ready(client: httpx.Client, timeout_s: float = 120.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while client.get("/health").status_code != 200:
        assert time.monotonic() < give_up_s, client.get("/health").text
        time.sleep(0.1)
