"""Pictures as input on the page: dropped, pasted, put in order, boxed, drawn from, finished, recalled, deleted."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_helpers import FINISHED, cell, compose, drop_bytes, drop_file, reload
from PIL import Image
from PIL.ExifTags import Base
from playwright.sync_api import expect

from served import Served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TILES = ".picture-strip .picture:has(.picture-remove)"

# A file that is dropped on, or pasted into, an element.
GIVE = """async ([url, name, where, how]) => {
  const data = new DataTransfer();
  data.items.add(new File([await (await fetch(url)).blob()], name));
  const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
  const made = how === "paste" ? new ClipboardEvent(how, options) : new DragEvent(how, options);
  document.querySelector(where).dispatchEvent(made);
}"""


@pytest.fixture(scope="module")
def server(golden_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    seeing = golden_checkpoint.parents[1] / "golden_ref" / "checkpoint"
    with Served(tmp_path_factory.mktemp("pictures") / "data", seeing) as running:
        running.until_ready()
        yield running
        log = running.complaints
    assert not re.search(r"warning|error|traceback", log, re.IGNORECASE), log[-4000:]


def picture(seed: int, size: tuple[int, int] = (96, 64), kind: str = "png", **options: Any) -> bytes:
    """A file of its own pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR).save(file, kind, **options)
    return file.getvalue()


def lying_photo(seed: int) -> bytes:
    """As a camera saves what was held upright."""
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    return picture(seed, (160, 128), "jpeg", exif=exif)


def give(page: Any, data: bytes, name: str, where: str, how: str = "drop") -> None:
    page.evaluate(GIVE, [f"data:;base64,{base64.b64encode(data).decode()}", name, where, how])


def pick(page: Any, *files: tuple[str, bytes]) -> None:
    chosen = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    page.locator(".pictures input[type=file]").set_input_files(chosen)


def emptied(page: Any) -> None:
    if page.locator(".pictures-clear").is_visible():
        page.locator(".pictures-clear").click()
    expect(page.locator(".pictures .chip")).to_be_visible()


def names(page: Any) -> list[str]:
    return [one.input_value() for one in page.locator("input.picture-name").all()]


def drawn_once(page: Any, prompt: str, size: str = "256") -> None:
    compose(page, prompt, count=1)
    page.get_by_role("textbox", name="Size, width").fill(size)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text(prompt)
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(1)


def test_a_picture_is_dropped_edited_finished_recalled_and_outlives_what_was_made_of_it(visitor):
    page = visitor.open()
    expect(page.locator(".welcome-edit")).to_contain_text("Make the ball blue")
    plain = page.locator(".generate .estimate").inner_text()
    drop_bytes(page, lying_photo(1), "harbour.jpg")
    expect(page.locator(TILES)).to_have_count(1)
    assert names(page) == ["harbour.jpg"]
    expect(page.locator(".toast")).to_contain_text("harbour.jpg: turned as its EXIF says.")
    page.wait_for_function("() => document.querySelector('.picture-thumb img')?.naturalHeight > 0")

    # its shape is kept, where that is large enough, unless it is switched off
    keep = page.get_by_role("switch", name="Keep its aspect ratio")
    expect(page.get_by_role("textbox", name="Size, width")).to_have_value("288 × 288")
    page.get_by_role("radio", name="Quick").click()
    expect(page.locator(".pictures .hint.bad")).to_contain_text("without “Keep its aspect ratio” it is 256×256")
    keep.click()
    expect(page.locator(".pictures .hint.bad")).to_have_count(0)
    expect(page.locator(".generate .estimate")).not_to_have_text(plain)  # the price knows it
    keep.click()
    drawn_once(page, "remove the boats", "320")
    expect(page.locator("#size-hint")).to_contain_text("320 × 320 becomes 256 × 352")
    cell(page, 0).click()
    expect(page.locator(".made-from button")).to_have_text(["1harbour.jpg"])
    page.locator(".made-from button").click()
    expect(page.locator(".viewer-label")).to_contain_text("harbour.jpg · 128 × 160")
    page.go_back()
    expect(page.locator(".viewer")).to_have_count(0)

    # the final is made of the same picture
    cell(page, 0).focus()
    page.keyboard.press("f")
    expect(cell(page, 0)).to_have_attribute("aria-label", re.compile("finished"))
    expect(page.locator(".lineage button[aria-pressed]")).to_have_count(2)
    expect(page.locator(".cell-versions button.on")).not_to_have_text("DRAFT")
    expect(cell(page, 0)).to_have_class(re.compile("is-finished"), timeout=60_000)
    expect(page.locator(".made-from button")).to_have_text(["1harbour.jpg"])

    reload(page)
    assert names(page) == ["harbour.jpg"]
    emptied(page)
    cell(page, 0).click()
    page.keyboard.press("r")
    expect(page.locator(TILES)).to_have_count(1)
    expect(keep).to_have_attribute("aria-checked", "true")

    # both pictures go; the strip keeps what it holds, and it can be drawn from again
    for left in (1, 0):
        cell(page, 0).focus()
        page.keyboard.press("x")
        page.get_by_role("button", name="Delete for good").click()
        expect(page.locator(".cell")).to_have_count(left)
        expect(page.locator(".cell-versions")).to_have_count(0)
    reload(page)
    expect(page.locator(TILES)).to_have_count(1)
    expect(page.locator(".picture.missing")).to_have_count(0)
    drawn_once(page, "remove the boats again", "320")
    emptied(page)


def test_ten_pictures_stand_in_the_order_that_hands_and_keys_give_them(visitor):
    page = visitor.open()
    emptied(page)
    pick(page, *((f"{number}.png", picture(10 + number)) for number in range(10)))
    expect(page.locator(TILES)).to_have_count(10)
    assert names(page) == [f"{number}.png" for number in range(10)]

    first, third = (page.locator(".picture-thumb").nth(index).bounding_box() for index in (0, 2))
    page.mouse.move(first["x"] + 30, first["y"] + 30)
    page.mouse.down()
    page.mouse.move(third["x"] + 20, third["y"] + 30, steps=4)
    page.mouse.move(third["x"] + 34, third["y"] + 30)
    page.mouse.up()
    expect(page.locator("input.picture-name").nth(2)).to_have_value("0.png")
    assert names(page)[:4] == ["1.png", "2.png", "0.png", "3.png"]
    page.locator(".picture-thumb").nth(2).focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("input.picture-name").first).to_have_value("0.png")
    page.keyboard.press("Delete")
    expect(page.locator(TILES)).to_have_count(9)
    page.locator(".toast button", has_text="Undo").click()
    expect(page.locator(TILES)).to_have_count(10)
    name = page.locator("input.picture-name").first
    name.fill("the coat")
    name.press("Enter")

    page.get_by_role("button", name="What the model sees").click()
    rows = page.get_by_role("dialog", name="What the model sees").locator("tr")
    expect(rows).to_have_count(11)
    expect(rows.nth(1)).to_contain_text("the coat 96 × 64")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    drawn_once(page, "all ten in one scene")
    cell(page, 0).click()
    expect(page.locator(".made-from button")).to_have_count(10)
    expect(page.locator(".made-from button").first).to_have_text("1the coat")
    assert page.evaluate("() => innerWidth >= document.documentElement.scrollWidth")
    emptied(page)


def test_boxes_are_drawn_moved_resized_deleted_and_recalled(visitor):
    page = visitor.open()
    emptied(page)
    pick(page, ("face.png", picture(31)), ("coat.png", picture(32)))
    expect(page.locator(TILES)).to_have_count(2)
    page.get_by_role("textbox", name="Size, width").fill("384 × 256")
    page.get_by_role("button", name="Boxes").click()
    canvas = page.locator(".boxes-canvas").bounding_box()
    assert canvas["width"] / canvas["height"] == pytest.approx(1.5, rel=0.02)

    def pull(x1: float, y1: float, x2: float, y2: float) -> None:
        page.mouse.move(canvas["x"] + x1 * canvas["width"], canvas["y"] + y1 * canvas["height"])
        page.mouse.down()
        page.mouse.move(canvas["x"] + x2 * canvas["width"], canvas["y"] + y2 * canvas["height"], steps=4)
        page.mouse.up()

    def box(index: int) -> dict[str, float]:
        place = page.locator(f"[data-box='{index}']").bounding_box()
        return {
            "x": (place["x"] - canvas["x"]) / canvas["width"], "y": (place["y"] - canvas["y"]) / canvas["height"],
            "w": place["width"] / canvas["width"], "h": place["height"] / canvas["height"],
        }  # fmt: skip

    pull(0.1, 0.1, 0.4, 0.6)
    pull(0.55, 0.2, 0.95, 0.9)
    assert box(0) == pytest.approx({"x": 0.1, "y": 0.1, "w": 0.3, "h": 0.5}, abs=0.01)
    pull(0.25, 0.3, 0.3, 0.4)  # inside the first: moves it
    assert box(0) == pytest.approx({"x": 0.15, "y": 0.2, "w": 0.3, "h": 0.5}, abs=0.01)
    pull(0.45, 0.7, 0.5, 0.8)  # its lower right corner
    assert box(0) == pytest.approx({"x": 0.15, "y": 0.2, "w": 0.35, "h": 0.6}, abs=0.01)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    assert box(0) == pytest.approx({"x": 0.14, "y": 0.2, "w": 0.35, "h": 0.59}, abs=0.01)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Boxes · 2")).to_be_visible()

    # a picture between without a box is told of; in its place or at the end it is none
    page.get_by_role("button", name="Boxes · 2").click()
    page.get_by_role("button", name="Delete box 1").click()
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".pictures .hint.bad")).to_contain_text("Picture 1 (face.png) has no box")
    page.locator(".picture-thumb").first.focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".pictures .hint.bad")).to_have_count(0)
    page.get_by_role("button", name="Boxes · 1").click()
    page.get_by_role("button", name="Picture 2, face.png, give it a box").click()
    expect(page.locator(".box")).to_have_count(2)
    page.keyboard.press("Escape")
    drawn_once(page, "a face and a coat")
    emptied(page)
    cell(page, 0).click()
    page.keyboard.press("r")
    expect(page.get_by_role("button", name="Boxes · 2")).to_be_visible()
    assert names(page) == ["coat.png", "face.png"]
    emptied(page)


def test_pictures_are_pasted_and_taken_from_the_sheet_and_bad_files_say_why(visitor):
    page = visitor.open()
    emptied(page)
    give(page, picture(41), "pasted.png", ".pictures .chip", "paste")
    expect(page.locator(TILES)).to_have_count(1)
    for data, name, why in (
        (b"", "empty.png", "0 bytes"),
        (b"just words", "words.png", "a text and no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing.svg", "an SVG"),
        (picture(42)[:200], "half.png", "damaged"),
        (picture(43, (5000, 1)), "thread.png", "at least 16 px"),
    ):
        give(page, data, name, ".picture-strip")
        expect(page.locator(".toast").last).to_contain_text(re.compile(f"{re.escape(name)}: .*{why}"))
    expect(page.locator(TILES)).to_have_count(1)

    refused = "Failed to load resource"  # is all that Chromium has to say of these
    visitor.watch.troubles = [one for one in visitor.watch.troubles if refused not in one]

    drawn_once(page, "to be used again", "320")
    cell(page, 0).hover()
    cell(page, 0).get_by_role("button", name="Use as picture").click()
    expect(page.locator(TILES)).to_have_count(2)
    cell(page, 0).focus()
    page.keyboard.press("p")
    expect(page.locator(".toast").last).to_contain_text("is this very picture already")

    # a file of this studio brings its settings back, and is a picture as well where that is wanted
    emptied(page)
    final = visitor.server.images(q="to be used again")[0]
    drop_file(page, f"/api/images/{final['id']}/file", "again.png")
    expect(page.locator(TILES)).to_have_count(1)  # what it was drawn from
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("to be used again")
    page.locator(".toast button", has_text="Use as picture").click()
    expect(page.locator(TILES)).to_have_count(2)
    assert names(page) == ["pasted.png", "again.png"]
    emptied(page)


def test_on_a_phone_pictures_are_added_named_boxed_and_taken_out_by_touch(visitor):
    page = visitor.open(viewport={"width": 390, "height": 844}, has_touch=True)
    emptied(page)
    pick(page, *((f"{number}.png", picture(50 + number)) for number in range(6)))
    expect(page.locator(TILES)).to_have_count(6)
    page.get_by_role("button", name="Boxes").tap()
    page.get_by_role("button", name="Picture 1, 0.png, give it a box").tap()
    expect(page.locator(".box")).to_have_count(1)
    assert page.evaluate("() => innerWidth >= document.documentElement.scrollWidth")
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Take out picture 6").tap()
    expect(page.locator(TILES)).to_have_count(5)
    assert page.evaluate("() => innerWidth >= document.documentElement.scrollWidth")
    emptied(page)
