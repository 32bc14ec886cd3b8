"""A server and a browser a module, for the tests of the page; what they are is in page_serving.py."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_serving import BROWSERS, Visitor

from served import Served


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser. While Playwright is there its event loop runs in this thread: it ends with the module, lest the tests
    after it cannot run loops of their own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=45_000)  # a busy machine draws slowly; what is wrong stays wrong
    with sync_playwright() as playwright:
        installed = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        found = installed or playwright.chromium.executable_path
        if not Path(found).exists():
            pytest.skip("there is no Chromium on this machine")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(golden_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("studio") / "data", golden_checkpoint, "--queue-limit", "24") as running:
        running.until_ready()
        yield running
        log = running.complaints
    assert not re.search(r"warning|error|traceback", log, re.IGNORECASE), log[-4000:]


@pytest.fixture
def visitor(chromium: Any, server: Served) -> Iterator[Visitor]:
    guest = Visitor(chromium, server)
    yield guest
    guest.close()
    assert not guest.watch.troubles, guest.watch.troubles
