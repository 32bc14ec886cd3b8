"""The illustrator's whole loop, in a real Chromium on a real worker: explore, reject, compare, finish, come back."""

from __future__ import annotations

import os
import re
import signal

import pytest
from page_helpers import FINISHED, cell, compose, drop_file, reload
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


# a preview stays for less than a second: whoever looks now and then can miss them all
COUNT_PREVIEWS = """() => {
    window.previewsSeen = 0;
    const count = () => {
        window.previewsSeen += document.querySelectorAll(".cell.is-running img[src^='data:image/webp']").length;
    };
    const watched = {subtree: true, childList: true, attributes: true, attributeFilter: ["src", "class"]};
    new MutationObserver(count).observe(document.body, watched);
}"""


def test_the_whole_loop(visitor):
    page = visitor.open()

    # first visit: what the model can draw, an example, and what a click will cost
    expect(page.locator(".welcome")).to_contain_text("o1-tiny knows only shapes in named colours")
    expect(page.locator(".welcome-examples button")).to_have_count(3)
    expect(page.locator(".pictures")).to_be_hidden()  # a model without a vision tower
    expect(page.locator(".generate")).to_have_text(re.compile(r"Generate 4~\d"))
    prompt = page.locator(".welcome-examples button span").first.inner_text()
    page.evaluate(COUNT_PREVIEWS)
    page.locator(".welcome-examples button").first.click()
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value(prompt)
    expect(page.locator(".cell")).to_have_count(4)

    # previews move, then four drafts are there
    page.wait_for_function("window.previewsSeen > 0")
    expect(page.locator(FINISHED)).to_have_count(4)
    expect(page.locator(".cell .badge").first).to_have_text("DRAFT")
    expect(page.locator(".cell-time").first).to_have_text(re.compile(r"^\d+\.\d s$"))

    # reject one, take it back
    cell(page, 1).click()
    page.keyboard.press("x")
    expect(page.locator(".cell.rejected")).to_have_count(1)
    page.locator(".toast button", has_text="Undo").click()
    expect(page.locator(".cell.rejected")).to_have_count(0)

    page.keyboard.press("p")
    expect(page.locator(".toast").last).to_contain_text("vision tower")

    # pick two and compare them; zoom is locked
    cell(page, 0).click()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator(".tray-count")).to_have_text("2 picked")
    expect(page.locator(".tray")).to_contain_text("Finish all at 512")
    page.locator(".tray button", has_text="Compare").click()
    expect(page.locator(".viewer-differences")).to_contain_text("seed")
    page.get_by_role("button", name="Side by side").click()
    panes = page.locator(".viewer-pane")
    expect(panes).to_have_count(2)
    panes.first.hover(position={"x": 100, "y": 100})
    page.mouse.wheel(0, -600)
    page.wait_for_function(
        "[...document.querySelectorAll('.viewer-pane')].every((pane) => Number(pane.dataset.zoom) > 1.5)"
    )
    zooms = [panes.nth(index).get_attribute("data-zoom") for index in range(2)]
    places = [panes.nth(index).get_attribute("data-x") for index in range(2)]
    assert zooms[0] == zooms[1]
    assert places[0] == places[1] != "0.5"
    page.keyboard.press("Escape")
    expect(page.locator(".viewer")).to_have_count(0)
    page.locator(".tray button", has_text="Clear").click()

    # finish one at a larger size; the lineage shows both, est → took is told
    cell(page, 0).click()
    page.locator(".finish-buttons button", has_text="Finish 512").click()
    expect(page.locator(".cell-versions button")).to_have_text(["DRAFT", "512"])
    expect(page.locator(".lineage button[aria-pressed]")).to_have_text(["DRAFT", "512"])
    expect(cell(page, 0)).to_have_class(re.compile("is-finished"), timeout=60_000)
    expect(page.locator(".facts")).to_contain_text("512 × 512")
    expect(page.locator(".facts")).to_contain_text("→")

    # reload: all still there; a second tab sees the same
    reload(page)
    expect(page.locator(FINISHED)).to_have_count(4)
    expect(page.locator(".cell-versions button")).to_have_text(["DRAFT", "512"])
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value(prompt)
    other = visitor.open()
    assert other.locator(".cell").all_inner_texts() == page.locator(".cell").all_inner_texts()
    cell(other, 2).click()
    other.keyboard.press(".")
    expect(cell(page, 2).locator(".cell-star")).to_have_attribute("aria-pressed", "true")

    # the final's PNG brings its settings back into a fresh browser
    final = next(image for image in visitor.server.images() if image["width"] == 512)
    fresh = visitor.open()
    fresh.get_by_role("textbox", name="Prompt", exact=True).fill("something else")
    drop_file(fresh, f"/api/images/{final['id']}/file", "final.png")
    expect(fresh.get_by_role("textbox", name="Prompt", exact=True)).to_have_value(prompt)
    expect(fresh.get_by_role("textbox", name="Size, width")).to_have_value("512 × 512")
    expect(fresh.get_by_role("textbox", name="Seed;")).to_have_value(str(final["seed"]))
    expect(fresh.locator(".toast")).to_contain_text("final.png")


def test_a_running_render_is_cancelled_and_put_back(visitor):
    page = visitor.open()
    compose(page, "a long render", count=2, preset="Official")
    page.get_by_role("textbox", name="Steps;").fill("200")
    page.keyboard.press("Control+Enter")
    running = page.locator(".cell.is-running")
    expect(running).to_have_count(1)
    running.click()
    page.keyboard.press("Shift+X")
    ghost = page.locator(".cell.is-cancelled").first
    expect(ghost).to_contain_text("Put back")
    page.get_by_role("button", name="Clear").first.click()
    expect(page.locator(".cell.is-running, .cell.is-waiting")).to_have_count(0)
    cancelled = page.locator(".cell.is-cancelled").count()
    page.get_by_role("radio", name="Quick").click()
    ghost.get_by_role("button", name="Put back").click()
    expect(page.locator(".cell.is-running")).to_have_count(1)
    expect(page.locator(".cell.is-cancelled")).to_have_count(cancelled - 1)
    page.get_by_role("button", name="Clear").first.click()
    expect(page.locator(".queue-text")).to_have_text("Queue empty")


def test_a_killed_worker_shows_a_banner_and_the_picture_comes_all_the_same(visitor):
    page = visitor.open()
    compose(page, "what survives a dead worker", count=2)
    os.kill(visitor.server.health()["worker_pid"], signal.SIGKILL)
    expect(page.locator(".banner")).to_be_visible()
    expect(page.locator(".status")).not_to_have_text("Ready")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".cell.is-waiting").first).to_be_visible()
    expect(page.locator(".compose-go .hint")).to_contain_text("Waits for the model")
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("what survives a dead worker")
    expect(page.locator(".banner")).to_be_hidden(timeout=90_000)
    expect(page.locator(".status")).to_have_text("Ready")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(2, timeout=60_000)


def test_the_loop_by_keyboard_alone(visitor):
    page = visitor.open()
    compose(page, "to be typed over", count=2)
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Prompt":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("fxcvrsz. by keys?")  # none of them fires while one types
    expect(page.locator(".viewer, dialog")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    group = page.locator(".group").first
    expect(group.locator("h3")).to_have_text("fxcvrsz. by keys?")
    expect(group.locator(FINISHED)).to_have_count(2)
    page.keyboard.press("Escape")  # out of the field
    page.keyboard.press("ArrowRight")
    expect(cell(page, 0)).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press(".")
    expect(cell(page, 1).locator(".cell-star")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("c")
    expect(page.locator(".viewer")).to_be_visible()
    page.keyboard.press("z")
    expect(page.locator(".viewer-percent")).to_have_text("100 %")
    page.keyboard.press("Escape")
    expect(cell(page, 1)).to_be_focused()
    page.keyboard.press("f")
    expect(cell(page, 1).locator(".cell-versions button")).to_have_text(["DRAFT", "384"])
    expect(cell(page, 1)).to_have_attribute("aria-label", re.compile("384.*finished"))
    page.keyboard.press("r")
    expect(page.get_by_role("textbox", name="Size, width")).to_have_value("384 × 384")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("x")
    expect(page.locator(".cell.rejected")).to_have_count(1)
    page.keyboard.press("x")
    expect(page.locator(".cell.rejected")).to_have_count(0)
    page.keyboard.press("s")
    expect(page.get_by_role("textbox", name="Seed;")).not_to_have_value("")
    page.keyboard.press("v")
    expect(page.get_by_role("textbox", name="Seed;")).to_have_value("")
    page.keyboard.press("/")
    page.keyboard.type("by keys")
    expect(page.locator(".group")).to_have_count(2)
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
