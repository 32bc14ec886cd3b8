"""Every state that the page can be in, and every promise that it makes to people who use it differently."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from page_helpers import FINISHED, cell, compose, drawn, drop_bytes, reload
from PIL import Image
from PIL.ExifTags import IFD, Base
from playwright.sync_api import expect

from hidream_studio.image.png import encode_png

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# Names of controls as a screen reader would say them; those without one are returned as their markup.
UNNAMED = """() => [...document.querySelectorAll("button, input, select, textarea, a, [role=switch], [role=slider]")]
  .filter((e) => e.getClientRects().length && e.type !== "file")
  .filter((e) => !(e.getAttribute("aria-label") || e.innerText?.trim() || e.title))
  .filter((e) => !e.closest("label")?.innerText.trim())
  .map((e) => e.outerHTML.slice(0, 160))"""

# Texts whose contrast with what lies under them is below 4.5 (3 for large text), as WCAG 2 AA counts it.
FAINT = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (css) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = css;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.querySelector(".studio"), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    const box = element.getBoundingClientRect();
    if (!node.data.trim() || !element.getClientRects().length || box.width < 2) continue;
    if (element.closest(":disabled")) continue;
    const style = getComputedStyle(element);
    if (style.visibility !== "visible") continue;
    const under = ground(element);
    let opacity = 1;
    for (let e = element; e; e = e.parentElement) opacity *= getComputedStyle(e).opacity;
    const [r, g, b, a] = rgba(style.color);
    const text = over([r, g, b, a * opacity], under);
    const [light, dark] = [luminance(text), luminance(under)].sort((x, y) => y - x);
    const ratio = (light + 0.05) / (dark + 0.05);
    const px = parseFloat(style.fontSize);
    const large = px >= 24 || (px >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} ${node.data.trim().slice(0, 40)}`);
  }
  return [...new Set(faint)];
}"""

# How light the page's ground is, 0 to 1.
GROUND_LIGHT = """() => {
  const values = getComputedStyle(document.querySelector(".studio")).backgroundColor.match(/[0-9.]+/g).map(Number);
  return (values[3] ?? 1) === 0 ? NaN : Math.max(...values.slice(0, 3)) / 255;
}"""

# What can be seen, reaches over the right edge and does not scroll inside something of its own.
TOO_WIDE = """() => [...document.querySelectorAll(".studio *")]
  .filter((e) => getComputedStyle(e).visibility === "visible")
  .filter((e) => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
  .filter((e) => { for (let p = e.parentElement; p; p = p.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX) && p !== document.body
      && p !== document.documentElement) return false; return true; })
  .map((e) => e.outerHTML.slice(0, 120))"""


def test_a_full_queue_names_its_limit_and_keeps_the_settings(visitor):
    page = visitor.open()
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.locator(".queue-text")).to_have_text("Paused")
    compose(page, "more than fits", count=16)
    page.locator(".generate").click()
    expect(page.locator(".cell.is-waiting")).to_have_count(16)
    expect(page.locator(".queue-text")).to_contain_text("16 waiting")
    expect(page.locator(".compose-go .hint")).to_contain_text("paused")
    page.locator(".generate").click()
    expect(page.locator(".toast").last).to_contain_text("24")
    expect(page.locator(".toast").last).to_contain_text("Your settings are kept")
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("more than fits")
    expect(page.locator(".cell.is-waiting")).to_have_count(16)
    page.get_by_role("button", name="Clear").first.click()
    expect(page.locator(".cell.is-waiting")).to_have_count(0)
    page.get_by_role("button", name="Resume the queue").click()
    expect(page.locator(".queue-text")).to_have_text("Queue empty")


def test_a_sweep_is_a_labelled_contact_sheet_and_saved_as_one_png(visitor):
    page = visitor.open()
    compose(page, "a sweep of four", count=1)
    page.get_by_role("textbox", name="Steps;").fill("2, 3")
    page.get_by_role("textbox", name="Guidance").fill("1, 2.5")
    expect(page.locator(".compose-go .hint")).to_have_text("Contact sheet: 2 steps × 2 guidance")
    expect(page.locator(".generate")).to_have_text(re.compile(r"^Generate 4~"))
    page.locator(".generate").click()
    group = page.locator(".group").first
    expect(group.locator(FINISHED)).to_have_count(4)
    expect(group.locator(".contact-column")).to_have_text(["2 steps", "3 steps"])
    expect(group.locator(".contact-row")).to_have_text(["guidance 1", "guidance 2.5"])
    expect(group.locator(".cell-time").first).to_have_text(re.compile(r"\d s$"))
    with page.expect_download() as saved:
        group.get_by_role("button", name="Save this contact sheet").click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")
    second = group.locator(".cell").nth(1)
    place = second.bounding_box()
    group.locator(".cell").nth(0).focus()
    page.keyboard.press("x")
    expect(group.locator(".cell.rejected")).to_have_count(1)
    reload(page)
    expect(group.locator(FINISHED)).to_have_count(3)  # and the labels still stand where they stood
    expect(group.locator(".contact-column")).to_have_text(["2 steps", "3 steps"])
    expect(group.locator(".contact-row")).to_have_text(["guidance 1", "guidance 2.5"])
    assert group.locator(".cell").nth(0).bounding_box() == place


def test_live_mode_redraws_one_draft_when_the_typing_rests(visitor):
    page = visitor.open()
    compose(page, "before", count=1)
    page.get_by_role("switch", name="Live").click()
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill("a")
    prompt.press_sequentially(" live one", delay=60)
    expect(page.locator(".group").first.locator("h3")).to_have_text("a live one")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
    prompt.press_sequentially("!")
    page.get_by_role("switch", name="Live").click()  # before that is drawn: it is not wanted any more
    expect(page.get_by_role("switch", name="Live")).to_have_attribute("aria-checked", "false")
    page.wait_for_timeout(1000)
    reload(page)
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
    half_written = [text for text in page.locator(".group h3").all_inner_texts() if re.match(r"a l(?!ive one$)", text)]
    assert not half_written


def test_the_size_says_what_it_becomes_and_a_wrong_one_why(visitor):
    page = visitor.open()
    compose(page, "an odd size", count=1)
    size, hint = page.get_by_role("textbox", name="Size, width"), page.locator("#size-hint")
    size.fill("300 × 300")
    expect(hint).to_have_text("300 × 300 becomes 288 × 288.")
    page.get_by_role("switch", name="Snap").click()
    expect(hint).to_have_text("300 × 300 becomes 512 × 512.")
    page.get_by_role("switch", name="Snap").click()
    size.fill("100 × 300")
    expect(hint).to_contain_text("at least 256 px")
    expect(size).to_have_attribute("aria-invalid", "true")
    size.fill("300")
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(cell(page, 0).locator(".cell-size")).to_contain_text("288 × 288")
    expect(cell(page, 0).locator(".cell-asked")).to_have_text("300 × 300 was asked")


def test_a_prompt_is_shown_as_text_whatever_it_holds(visitor):
    page = visitor.open()
    hostile = '<img src=x onerror="window.hacked=1"> ${7*7} `b` {{ 1+1 }} </script> &amp;'
    compose(page, hostile, count=1)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text(hostile)
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
    reload(page)
    expect(page.locator(".group h3").first).to_have_text(hostile)
    cell(page, 0).click()
    expect(page.locator(".inspect-prompt")).to_have_text(hostile)
    assert page.evaluate("window.hacked") is None


def test_search_and_filters_narrow_the_sheet(visitor):
    page = visitor.open()
    compose(page, "a needle among pictures", count=1)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text("a needle among pictures")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
    search = page.get_by_role("textbox", name="Search")
    search.fill("needle")
    expect(page.locator(".cell")).to_have_count(1)
    search.fill("nothing like this")
    expect(page.locator(".nothing")).to_contain_text("nothing like this")
    search.fill("")
    needle = page.locator(".group", has_text="a needle among pictures")
    expect(needle).to_be_visible()
    page.get_by_role("button", name="Rejected", exact=True).click()
    expect(needle).to_have_count(0)  # others may be there: what an earlier test rejected
    page.get_by_role("button", name="All", exact=True).click()
    expect(needle).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_has_a_name_and_every_text_is_readable(visitor, scheme):
    api = visitor.server.client
    api.post("/api/queue/pause")
    job_id = api.post("/api/jobs", json={"prompt": f"cancelled in the {scheme}"}).json()["id"]
    api.delete(f"/api/jobs/{job_id}")
    api.post("/api/queue/resume")
    page = visitor.open(color_scheme=scheme)
    expect(page.locator(".cell.is-cancelled")).not_to_have_count(0)
    compose(page, f"what can be read in the {scheme}", count=1)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text(f"what can be read in the {scheme}")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
    cell(page, 0).click()
    page.keyboard.press("Space")
    expect(page.locator(".tray-count")).to_be_visible()
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(FAINT) == []
    light = page.evaluate(GROUND_LIGHT)
    assert light > 0.8 if scheme == "light" else light < 0.1


@pytest.mark.parametrize("size", [(390, 844), (1024, 700), (1280, 800), (2560, 1440)])
def test_nothing_is_wider_than_the_screen(visitor, size):
    width, height = size
    page = visitor.open(viewport={"width": width, "height": height})
    expect(page.locator(".generate")).to_be_visible()
    if not visitor.server.images():
        drawn(page, "something to look at", 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE) == []
    page.locator(FINISHED).first.click()
    expect(page.locator(".inspect-picture img")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE) == []
    if width < 1100:
        page.get_by_role("button", name="Close").click()
        expect(page.locator(".inspect-picture")).to_be_hidden()


def test_on_a_phone_the_tray_holds_all_that_can_be_done_and_its_picks_scroll(visitor):
    page = visitor.open(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    compose(page, "many picks on a phone", count=8)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text("many picks on a phone")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(8)
    for index in range(8):
        cell(page, index).locator(".cell-pick").tap()
    tray = page.locator(".tray")
    expect(tray.get_by_role("status")).to_have_text("8 picked")
    picture = page.locator(".inspect-picture")  # lies over the sheet here: nothing but a choice may bring it up
    for _ in range(2):
        cell(page, 1).tap()
        expect(picture).to_be_visible()
        page.get_by_role("button", name="Close").tap()
        expect(picture).to_be_hidden()
    cell(page, 1).locator(".cell-pick").tap()
    expect(tray.get_by_role("status")).to_have_text("7 picked")
    cell(page, 1).locator(".cell-pick").tap()
    expect(tray.get_by_role("status")).to_have_text("8 picked")
    expect(picture).to_be_hidden()
    for name in ("Compare", "Finish all at 384", "Finish all at 512", "Clear"):
        expect(tray.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    assert tray.evaluate("(e) => e.scrollWidth <= e.clientWidth")
    first, last = tray.locator(".tray-picks button").first, tray.locator(".tray-picks button").last
    expect(last).to_be_in_viewport()  # the newest
    expect(first).not_to_be_in_viewport()
    tray.locator(".tray-picks").evaluate("(e) => e.scrollTo(0, 0)")
    expect(first).to_be_in_viewport()
    for index in range(4, 8):
        cell(page, index).locator(".cell-pick").tap()
    tray.get_by_role("button", name="Compare").tap()
    labels = page.locator(".viewer-label")
    expect(labels).to_have_count(2)
    left, right = labels.nth(0).bounding_box(), labels.nth(1).bounding_box()
    assert left["x"] + left["width"] <= right["x"]
    page.locator(".viewer").get_by_role("button", name="Close").tap()
    tray.get_by_role("button", name="Clear").tap()
    expect(tray).to_be_hidden()


def test_what_was_rejected_is_taken_back_or_deleted_for_good(visitor):
    page, other_tab = visitor.open(), visitor.open()
    compose(page, "to be thrown away", count=2)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    group = page.locator(".group", has_text="to be thrown away")
    there = other_tab.locator(".group", has_text="to be thrown away")
    expect(group.locator(FINISHED)).to_have_count(2)
    cell(page, 0).click()
    inspector = page.get_by_role("complementary", name="Inspect")
    expect(inspector.get_by_role("button", name="Delete for good")).to_be_hidden()
    inspector.get_by_role("button", name="Reject").click()
    inspector.get_by_role("button", name="Take back").click()
    expect(page.locator(".cell.rejected")).to_have_count(0)
    inspector.get_by_role("button", name="Reject").click()
    inspector.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".toast").last).to_contain_text("Deleted seed")
    expect(group.locator(".cell")).to_have_count(1)
    expect(there.locator(".cell")).to_have_count(1)
    kept = visitor.server.images(q="thrown") + visitor.server.images(q="thrown", rejected=True)
    assert len(kept) == 1
    reload(page)
    expect(group.locator(FINISHED)).to_have_count(1)


def test_a_search_that_cannot_be_read_says_why_and_leaves_the_sheet(visitor):
    page = visitor.open()
    compose(page, "what a wrong search leaves", count=1)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text("what a wrong search leaves")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
    shown = page.locator(".cell").count()
    search = page.get_by_role("textbox", name="Search")
    search.fill("seed:many")
    expect(search).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".toast")).to_contain_text("seed:many cannot be searched for")
    expect(page.locator(".cell")).to_have_count(shown)
    search.fill("")
    expect(search).not_to_have_attribute("aria-invalid", "true")


def test_the_curl_line_of_a_picture_is_copied(visitor):
    page = visitor.open(permissions=["clipboard-read", "clipboard-write"])
    compose(page, "what curl draws", count=1)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text("what curl draws")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)
    cell(page, 0).click()
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator(".toast")).to_contain_text("clipboard")
    line = page.evaluate("navigator.clipboard.readText()")
    assert line.startswith(f"curl -sS {visitor.server.url}/generate/t2i")
    assert "what curl draws" in line


def test_a_wrong_address_is_answered_shortly_and_keeps_nothing_behind(server):
    page = httpx.get(f"{server.url}/nothing/here", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "nicegui" not in page.text.lower() and 'href="/"' in page.text
    other = httpx.get(f"{server.url}/nothing/here")
    assert other.status_code == 404
    assert other.json()["error"] == {"code": "not_found", "message": "there is no /nothing/here here"}


def test_a_paused_queue_is_told_of_under_generate_until_it_goes_on(visitor):
    page = visitor.open()
    why = page.locator(".compose-go .hint")
    page.get_by_role("button", name="Pause the queue").click()
    expect(why).to_have_text("The queue is paused; new pictures wait.")
    page.get_by_role("button", name="Resume the queue").click()
    expect(why).to_have_text("")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_what_was_just_asked_for_comes_into_sight(visitor, phone):
    page = visitor.open(viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 500})
    compose(page, "what is asked for again and again", count=16)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    group = page.locator(".group").first
    expect(group.locator("h3")).to_have_text("what is asked for again and again")
    expect(group.locator(".cell").first).to_be_in_viewport()
    expect(group.locator(FINISHED)).to_have_count(16)
    group.locator(".cell").last.scroll_into_view_if_needed()
    expect(group.locator(".cell").first).not_to_be_in_viewport()
    compose(page, "something else", count=1)
    page.keyboard.press("Control+Enter")
    expect(group.locator("h3")).to_have_text("something else")
    expect(group.locator(".cell")).to_be_in_viewport(ratio=0.9)


def test_pictures_that_a_search_hides_are_told_of_and_shown_with_one_click(visitor):
    page = visitor.open()
    search = page.get_by_role("textbox", name="Search")
    search.fill("no picture has this")
    expect(page.locator(".nothing")).to_be_visible()
    compose(page, "what a search hides", count=1)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    toast = page.locator(".toast").last
    expect(toast).to_contain_text("hides the pictures on their way")
    toast.get_by_role("button", name="Show all").click()
    expect(search).to_have_value("")
    expect(page.locator(".group h3").first).to_have_text("what a search hides")
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)


def test_the_ghosts_of_a_group_go_with_one_click(visitor):
    page = visitor.open()
    page.get_by_role("button", name="Pause the queue").click()
    compose(page, "what nobody waits for", count=5)
    page.locator(".generate").click()
    group = page.locator(".group", has_text="what nobody waits for")
    expect(group.locator(".cell.is-waiting")).to_have_count(5)
    group.locator(".cell-cancel").first.click()
    expect(group.locator(".cell.is-cancelled")).to_have_count(1)
    dismiss = group.get_by_role("button", name=re.compile(r"^Dismiss \d cancelled$"))
    expect(dismiss).to_have_count(0)  # one has its own button
    for cancelled in (2, 3):
        group.locator(".cell-cancel").first.click()
        expect(group.locator(".cell.is-cancelled")).to_have_count(cancelled)
    expect(dismiss).to_have_text("Dismiss 3 cancelled")
    dismiss.click()
    expect(group.locator(".cell")).to_have_count(2)
    reload(page)
    expect(group.locator(".cell.is-waiting")).to_have_count(2)
    page.locator(".queue").get_by_role("button", name="Clear").click()
    dismiss.click()
    expect(group).to_have_count(0)
    page.get_by_role("button", name="Resume the queue").click()
    expect(page.locator(".queue-text")).to_have_text("Queue empty")


def dropped_pictures() -> Iterator[tuple[str, bytes, str]]:
    """Names, files that say "a {name}", and what the page has to remark on them."""
    pixels = Image.effect_noise((512, 512), 90).convert("RGB")
    ours = "Shift: 2.5, Noise scale: 6.0"
    for kind in ("jpeg", "webp"):
        exif = Image.Exif()
        text = f"a {kind} heart\nSteps: 20, Sampler: Euler, CFG scale: 3, Seed: 42, Size: 512x512, {ours}"
        exif.get_ifd(IFD.Exif)[Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be")
        file = io.BytesIO()
        pixels.save(file, kind, exif=exif.tobytes(), quality=100)
        yield kind, file.getvalue(), "are back."
    swarm = '{"sui_image_params": {"prompt": "a png heart", "steps": 20, "seed": 42, "width": 512, "height": 512}}'
    texts = {"foreign": "x" * 2_000_000, "prompt": "x" * 2_000_000, "parameters": swarm}
    yield "png", encode_png(np.asarray(pixels), texts), "Mind: the text 'prompt' was passed over: it is too large."


def test_a_dropped_picture_of_each_kind_brings_its_settings_back_and_what_it_asks_for_beyond_the_fields(visitor):
    page = visitor.open()
    also = page.get_by_text("From the recalled picture:")
    for kind, data, remark in dropped_pictures():
        drop_bytes(page, data, f"heart.{kind}")
        expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value(f"a {kind} heart")
        expect(page.get_by_role("textbox", name="Seed;")).to_have_value("42")
        expect(page.locator(".toast").last).to_contain_text(remark)
        if kind != "png":
            expect(also).to_have_text("From the recalled picture: shift 2.5, noise scale 6.0")
    expect(also).not_to_be_visible()  # the last one says nothing of either

    drop_bytes(page, next(dropped_pictures())[1], "heart.jpeg")
    expect(also).to_be_visible()
    page.get_by_role("button", name="The model's own instead").click()
    expect(also).not_to_be_visible()
