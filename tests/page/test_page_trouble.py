"""What was stored as rubbish, what fails unforeseen, what is pasted, and the browser's Back: the page stays usable."""

from __future__ import annotations

import sqlite3

import httpx
import pytest
from page_helpers import FINISHED, cell, drawn, reload
from page_serving import Visitor
from playwright.sync_api import expect

from served import Served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

RUBBISH = (
    '{"profile": "o1-tiny", "state": {"prompt": "what can be read", "steps": "inf", "size": "9e9 x nan", "count": 0}}',
    '{"profile": [], "state": [1e999]}', "[" * 3000, "wide", '"\\ud800"',
    '{"state": {"prompt": "\\ud800", "seed": "nan"}}',
    '{"thumb_px": "wide", "theme": 7, "finish_mode": {}, "finish_strength": "much", "compare_mode": null}',
    '[{"a": []}, null, 7, ["b"]]',
)  # fmt: skip

PASTE = """async ([url, where]) => {
  const blob = await (await fetch(url)).blob();
  const data = new DataTransfer();
  data.items.add(new File([blob], "pasted.png", { type: "image/png" }));
  document.querySelector(where).dispatchEvent(
    new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def shaken(golden_checkpoint, tmp_path_factory):
    """A server whose log may hold errors."""
    with Served(tmp_path_factory.mktemp("shaken") / "data", golden_checkpoint) as running:
        running.until_ready()
        yield running


@pytest.fixture
def guest(chromium, shaken):
    visitor = Visitor(chromium, shaken)
    yield visitor
    visitor.close()
    assert not visitor.watch.troubles, visitor.watch.troubles


def store(server, **texts):
    """As a text of any kind may come to stand in the table."""
    with sqlite3.connect(server.data / "library.sqlite3", timeout=30) as database:
        for name, text in texts.items():
            database.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (f"page.{name}", text))
    database.close()


def test_the_page_opens_with_rubbish_stored_and_says_so(guest):
    for text in RUBBISH:
        store(guest.server, compose=text, view=text, dismissed=text)
        answer = httpx.get(guest.server.url, timeout=60)
        assert answer.status_code == 200, text
    store(guest.server, compose=RUBBISH[0], view=RUBBISH[-2], dismissed=RUBBISH[-1])
    page = guest.open()
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("what can be read")
    expect(page.locator(".toast").first).to_contain_text("cannot be read")
    expect(page.locator(".compose-go .hint, #size-hint").first).to_be_attached()
    drawn(page, "drawn all the same", 1)
    reload(page)
    expect(page.locator(".toast", has_text="first visit: count")).to_have_count(0)  # what was typed since is stored


@pytest.mark.parametrize("typed", ["inf", "nan", "1e999", "1.." + "9" * 400])
def test_a_number_that_is_none_is_told_of_and_locks_nobody_out(guest, typed):
    page = guest.open()
    page.get_by_role("textbox", name="Steps;").fill(typed)
    expect(page.locator(".compose-go .hint")).to_contain_text("Steps")
    page.wait_for_timeout(1000)  # until it is stored
    reload(page)
    expect(page.get_by_role("textbox", name="Steps;")).to_have_value(typed)
    page.get_by_role("radio", name="Quick").click()
    expect(page.locator(".generate")).to_contain_text("~")


def test_what_fails_unforeseen_is_said_and_the_tab_goes_on(guest):
    page = guest.open()
    page.evaluate("getElement(document.querySelector('.sheet-groups').id.slice(1)).$emit('act', 'no act at all')")
    expect(page.locator(".toast").last).to_contain_text("Something went wrong that should not have")
    drawn(page, "after something went wrong", 1)
    assert "Traceback" in guest.server.log.read_text()


def test_a_long_paste_is_kept_and_its_limit_told_or_refused_whole(guest):
    page = guest.open()
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill("a" * 12_000)
    expect(page.locator(".compose-go .hint")).to_have_text(
        "The prompt has 12,000 characters; at most 10,000 can be drawn."
    )
    expect(prompt).to_have_attribute("aria-invalid", "true")
    page.wait_for_timeout(1000)
    reload(page)
    assert len(prompt.input_value()) == 12_000
    prompt.fill("short again")
    expect(prompt).not_to_have_attribute("aria-invalid", "true")
    prompt.fill("b" * 120_000)
    expect(page.locator(".toast").last).to_contain_text("120,000 characters; this field takes 100,000")
    expect(prompt).to_have_value("short again")


def test_a_pasted_picture_brings_its_settings_back(guest):
    page = guest.open()
    drawn(page, "what a pasted picture asks for", 1)
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    (image,) = guest.server.images(q="pasted")
    for where in ("body", "textarea"):
        prompt.fill("something else")
        page.evaluate(PASTE, [f"/api/images/{image['id']}/file", where])
        expect(prompt).to_have_value("what a pasted picture asks for")
    expect(page.get_by_role("textbox", name="Seed;")).to_have_value(str(image["seed"]))


def test_back_closes_what_lies_over_the_page_and_leaves_the_page(guest):
    page = guest.open()
    drawn(page, "looked at closely", 1)
    page.evaluate("window.stayed = true")
    cell(page, 0).dblclick()
    expect(page.locator(".viewer")).to_be_visible()
    page.go_back()
    expect(page.locator(".viewer")).to_have_count(0)
    assert page.evaluate("window.stayed")
    for _ in range(2):  # and what is closed otherwise leaves nothing to go back to
        page.locator("body").press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
    page.wait_for_function("!history.state?.over")  # also none of the inspector, which lies beside the sheet here
    page.locator("body").press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
    assert page.evaluate("window.stayed")


def test_on_a_phone_back_closes_the_viewer_then_the_inspector_below_it_and_leaves_the_page(guest):
    page = guest.open(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    drawn(page, "looked at on a phone", 1)
    page.evaluate("window.stayed = true")
    for _ in range(2):  # what Back put away, a tap brings back
        cell(page, 0).tap()
        expect(page.locator(".inspect.open")).to_be_visible()
        page.get_by_role("button", name="Open large").tap()
        expect(page.locator(".viewer")).to_be_visible()
        page.go_back()
        expect(page.locator(".viewer")).to_have_count(0)
        expect(page.locator(".inspect.open")).to_be_visible()
        page.go_back()
        expect(page.locator(".inspect.open")).to_have_count(0)
    cell(page, 0).tap()
    page.get_by_role("button", name="Close").tap()
    expect(page.locator(".inspect.open")).to_have_count(0)
    page.wait_for_function("!history.state?.over")
    assert page.evaluate("window.stayed")


def test_a_prompt_is_read_in_its_own_direction(guest):
    page = guest.open()
    drawn(page, "دائرة حمراء كبيرة", 1)
    cell(page, 0).click()
    for place in (".group h3", ".inspect-prompt", "textarea"):
        assert page.locator(place).first.evaluate("(e) => getComputedStyle(e).direction") == "rtl", place
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
