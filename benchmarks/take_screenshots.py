"""The pictures in docs/screenshots: the page in use, light and dark, drawn by the model that it is shown with.

python benchmarks/take_screenshots.py [--model DIR --profile NAME] [--out docs/screenshots]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIZE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PROMPT = "a small green star left of an orange square"
SECOND_PROMPT = 'a red heart above a white sign that says "OK"'


@contextlib.contextmanager
def server(options: list[str]) -> Iterator[str]:
    """A studio of its own with an empty library; its address."""
    import httpx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "hidream_studio", "serve", "--port", str(port), "--data", data, *options]
        process = subprocess.Popen(command, env=dict(os.environ))
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}/health").status_code == 200:
                        break
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait(20)


class Camera:
    def __init__(self, browser: Any, url: str, out: Path, scheme: str) -> None:
        self._out, self._scheme, self._browser, self._url = out, scheme, browser, url
        self.page = self.open(SIZE)

    def open(self, size: dict[str, int], **options: Any) -> Any:
        page = self._browser.new_context(viewport=size, color_scheme=self._scheme, **options).new_page()
        page.goto(self._url)
        page.wait_for_selector(".cell, .welcome")
        page.wait_for_function("window.did_handshake === true && document.fonts.status === 'loaded'")
        page.wait_for_timeout(700)
        return page

    def take(self, name: str, page: Any = None) -> None:
        page = page or self.page
        page.wait_for_timeout(400)
        page.screenshot(path=self._out / f"{name}-{self._scheme}.png")


def compose(page: Any, prompt: str, count: int, preset: str = "Quick") -> None:
    page.get_by_role("textbox", name="Prompt", exact=True).fill(prompt)
    page.get_by_role("radio", name=preset).click()
    now = int(page.locator(".stepper output").inner_text().strip("× "))
    for _ in range(abs(count - now)):
        page.get_by_role("button", name="One more" if count > now else "One fewer").click()
    page.wait_for_function(f"document.querySelector('.stepper output').innerText === '× {count}'")


def all_finished(page: Any) -> None:
    page.wait_for_function("!document.querySelector('.cell.is-waiting, .cell.is-running')", timeout=600_000)


def show(camera: Camera) -> None:
    page = camera.page
    camera.take("empty")
    compose(page, SECOND_PROMPT, 4)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".cell.is-finished")
    all_finished(page)
    compose(page, PROMPT, 8)
    page.keyboard.press("Control+Enter")
    page.wait_for_function("document.querySelectorAll('.group')[0].querySelectorAll('.is-finished').length >= 3")
    page.wait_for_selector(".cell.is-running img")
    page.keyboard.press("Escape")
    page.locator(".cell").first.click()
    camera.take("drafting")
    all_finished(page)
    page.locator(".cell").nth(2).click()
    page.get_by_label("How to finish").select_option("keep-composition")
    page.locator(".finish-buttons button").last.click()
    page.wait_for_selector(".cell-versions")
    all_finished(page)
    page.locator(".cell").nth(4).click()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.locator(".cell").nth(2).click()
    page.mouse.move(5, 5)
    camera.take("finished")
    page.locator(".lineage").get_by_role("button", name="Compare").click()
    page.wait_for_function("[...document.querySelectorAll('.viewer img')].every((image) => image.complete)")
    camera.take("comparing")
    page.keyboard.press("Escape")
    compose(page, PROMPT, 1)
    page.get_by_role("textbox", name="Seed;").fill("7")
    page.get_by_role("textbox", name="Steps;").fill("8, 16, 24")
    page.get_by_role("textbox", name="Guidance").fill("1, 2, 3")
    page.wait_for_function("document.querySelector('.generate').innerText.includes('9')")
    page.locator(".generate").click()
    page.wait_for_selector(".contact")
    all_finished(page)
    page.locator(".contact .cell").nth(4).click()
    page.mouse.move(5, 5)
    camera.take("sweep")
    wide = camera.open({"width": 2560, "height": 1440})
    wide.locator(".cell").nth(4).click()
    wide.mouse.move(5, 5)
    camera.take("wide", wide)
    camera.take("phone", camera.open(PHONE, device_scale_factor=2, has_touch=True, is_mobile=True))


def main() -> int:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--profile")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    given = [
        part for name in ("model", "profile") if (value := getattr(options, name)) for part in (f"--{name}", value)
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            with server(given) as url:
                show(Camera(browser, url, options.out, scheme))
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
