"""A server that comes back finds its page as it was: SQLite is the truth."""

from __future__ import annotations

import pytest
from page_helpers import FINISHED, compose
from page_serving import Visitor
from playwright.sync_api import expect

from served import Served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_the_page_comes_back_by_itself_after_a_restart_of_the_server(chromium, golden_checkpoint, tmp_path):
    with Served(tmp_path / "data", golden_checkpoint) as server:
        server.until_ready()
        visitor = Visitor(chromium, server)
        page = visitor.open()
        compose(page, "what outlives its server", count=2)
        page.locator(".generate").click()
        expect(page.locator(FINISHED)).to_have_count(2)
        seeds = page.locator(".cell-seed").all_inner_texts()
        assert len(seeds) == 2
        page.get_by_role("textbox", name="Prompt", exact=True).fill("a thought that is not finis")
        page.wait_for_timeout(2000)  # it is written once nobody has typed for a moment
        page.evaluate("window.fromBefore = true")
        server.stop()
        server.start()
        server.until_ready()
        page.wait_for_function("!window.fromBefore && window.did_handshake === true", timeout=60_000)
        expect(page.locator(FINISHED)).to_have_count(2)
        expect(page.locator(".cell-seed")).to_have_text(seeds)
        expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("a thought that is not finis")
        visitor.close()
