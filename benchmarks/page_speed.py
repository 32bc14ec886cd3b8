"""How fast the page is in a real browser: 200 cells, eight moving previews, one click. Its server draws nothing.

    python benchmarks/page_speed.py [--json FILE]

The worker is stopped and the queue paused, so that what is measured is the page. Previews of eight jobs come from the
very place where the worker's would: the studio's event log, four times a second each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CELLS = 200
PREVIEWS = 8
PREVIEW_HZ = 4
MEASURED_S = 5.0
LIMITS = {"load_s": 3.0, "scroll_fps": 30.0, "preview_fps": 30.0, "click_ms": 200.0}
PROMPT = "eight cells whose previews move"
VIEWPORT = {"width": 1280, "height": 800}

# Frames a second, the longest frame, while `act` runs: all in the page's own clock.
MEASURE_FRAMES = """async ([seconds, scroll]) => {
  const pane = document.querySelector(".sheet-scroll");
  const gaps = [];
  const started = performance.now();
  let last = started;
  while (last - started < seconds * 1000) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    if (scroll) {
      pane.scrollTop += 40;
      if (pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 1) pane.scrollTop = 0;
    }
  }
  return { fps: gaps.length / ((last - started) / 1000), worst_ms: Math.max(...gaps) };
}"""
MEASURE_CLICK = """async (wanted) => {
  const waiting = () => document.querySelectorAll(".cell.is-waiting").length;
  const before = waiting();
  const started = performance.now();
  document.querySelector("button.generate").click();
  while (waiting() < before + wanted && performance.now() - started < 5000) await new Promise(requestAnimationFrame);
  return performance.now() - started;
}"""


def picture(seed: int, side_px: int = 256) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Soft colours, so that files and decoding cost what those of pictures do."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 255, (8, 8, 3)).astype(np.float32)
    rows = np.linspace(0, 6.999, side_px)
    low, part = np.floor(rows).astype(int), (rows % 1)[:, None, None]
    tall = coarse[low] * (1 - part) + coarse[low + 1] * part
    part = part.transpose(1, 0, 2)
    return (tall[:, low] * (1 - part) + tall[:, low + 1] * part).astype(np.uint8)


def fill_library(data: Path, amount: int) -> None:
    from hidream_studio.image.png import encode_png
    from hidream_studio.job.clock import utc_now
    from hidream_studio.job.ids import new_ids
    from hidream_studio.job.job import pin
    from hidream_studio.job.profiles import profile_by_id
    from hidream_studio.job.record import JobRecord, Timings
    from hidream_studio.job.request import GenerationRequest
    from hidream_studio.library.library import Library
    from hidream_studio.library.records import ImageDraft

    profile = profile_by_id("o1-tiny")
    library = Library.open(data)
    for index, job_id in enumerate(new_ids(amount)):
        request = GenerationRequest(prompt=f"a study in soft colour, number {index // 8}", preset="quick", seed=index)
        pinned = pin(request, profile)
        library.add_jobs([JobRecord(job_id, "queued", pinned.lane, pinned.job, utc_now(), float(index))])
        draft = ImageDraft(
            id=job_id, job_id=job_id, job=pinned.job, lane=pinned.lane, created_at=utc_now(), elapsed_s=0.5,
            model="o1-tiny", fingerprint="0", numeric_path="none", timings=Timings(steps_s=0.5), estimate_s=0.5,
        )  # fmt: skip
        library.store_image(draft, encode_png(picture(index)))
        library.thumbnail(job_id)
    library.close()


def serve(data: Path, port: int) -> None:
    """The real server, but its worker is never started; jobs of the PROMPT move by themselves."""
    import uvicorn

    from hidream_studio.library.library import Library
    from hidream_studio.server.app import create_app
    from hidream_studio.service.studio import Studio
    from hidream_studio.settings import Settings

    settings = Settings(data=data, port=port, profile="o1-tiny")
    studio = Studio(settings, Library.open(data))

    async def start_without_worker() -> None:
        studio.pause()
        asyncio.get_running_loop().create_task(move_previews(studio))

    studio.start = start_without_worker  # type: ignore[method-assign]
    uvicorn.run(create_app(studio, settings), host="127.0.0.1", port=port, log_level="error")


async def move_previews(studio: Any) -> None:
    from hidream_studio.image.preview import encode_preview
    from hidream_studio.service.views import Preview, job_to_dict

    frames = [encode_preview(picture(index)) for index in range(16)]
    tick = 0
    while True:
        await asyncio.sleep(1 / PREVIEW_HZ)
        tick += 1
        for active in studio._foreman.active.values():
            if active.job.prompt != PROMPT:
                continue
            if active.begun_s is None:
                active.begun(attempts=1)
                studio.publish("running", job_to_dict(active.view()))
            active.done = tick % active.steps
            active.preview = Preview(active.done, frames[(tick + hash(active.id)) % len(frames)], "image/webp")
            studio.publish("preview", {"id": active.id, "step": active.done})


def measure(port: int) -> dict[str, float]:
    import httpx
    from playwright.sync_api import sync_playwright

    url = f"http://127.0.0.1:{port}/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEWPORT)
        page.goto(url)  # the server's first page imports and compiles; a second visit is what is felt
        page.close()
        page = browser.new_context(viewport=VIEWPORT).new_page()
        started_s = time.perf_counter()
        page.goto(url)
        page.wait_for_function(f"document.querySelectorAll('.cell').length >= {CELLS}")
        seen = "[...document.querySelectorAll('.cell img')].filter(i => i.getBoundingClientRect().top < innerHeight)"
        page.wait_for_function(f"(() => {{ const s = {seen}; return s.length && s.every(i => i.complete); }})()")
        load_s = time.perf_counter() - started_s
        page.wait_for_function("window.did_handshake")
        page.wait_for_timeout(500)
        scroll = page.evaluate(MEASURE_FRAMES, [MEASURED_S, True])
        page.evaluate("document.querySelector('.sheet-scroll').scrollTop = 0")
        page.fill("textarea.field >> nth=0", "a click on Generate")
        for _ in range(PREVIEWS - 4):
            page.click("[aria-label='One more']")
        page.wait_for_function(f"document.querySelector('.generate').innerText.includes('Generate {PREVIEWS}')")
        clicks = []
        for _ in range(3):
            clicks.append(page.evaluate(MEASURE_CLICK, PREVIEWS))
            page.wait_for_timeout(700)
        httpx.post(f"{url}api/sheets", json={"request": {"prompt": PROMPT, "preset": "quick"}, "n": PREVIEWS})
        page.wait_for_function(f"document.querySelectorAll('.cell.is-running img').length >= {PREVIEWS}")
        page.wait_for_timeout(500)
        previews = page.evaluate(MEASURE_FRAMES, [MEASURED_S, False])
        browser.close()
    return {
        "load_s": load_s, "scroll_fps": scroll["fps"], "scroll_worst_frame_ms": scroll["worst_ms"],
        "preview_fps": previews["fps"], "preview_worst_frame_ms": previews["worst_ms"],
        "click_ms": sorted(clicks)[1], "click_worst_ms": max(clicks),
    }  # fmt: skip


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder), free_port()
        fill_library(data, CELLS)
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(data, port), daemon=True)
        server.start()
        try:
            wait_for(port)
            numbers = measure(port)
        finally:
            server.terminate()
            server.join(10)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    for name, value in numbers.items():
        limit = f"  (limit {LIMITS[name]:g})" if name in LIMITS else ""
        print(f"{name:24} {value:8.2f}{limit}")
    if options.json is not None:
        facts = {"commit": commit, "machine": platform.processor() or platform.machine(), "cells": CELLS, **numbers}
        options.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    good = numbers["load_s"] <= LIMITS["load_s"] and numbers["click_ms"] <= LIMITS["click_ms"]
    return 0 if good and min(numbers["scroll_fps"], numbers["preview_fps"]) >= LIMITS["scroll_fps"] else 1


def wait_for(port: int) -> None:
    import httpx

    for _ in range(240):
        try:
            httpx.get(f"http://127.0.0.1:{port}/health")
            return
        except httpx.TransportError:
            time.sleep(0.25)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    raise SystemExit(main())
