"""A slider stays where it was put, whatever changes on the page around it."""

from __future__ import annotations

import pytest
from page_helpers import cell, compose, drawn, reload
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_the_size_of_the_pictures_stays_where_the_thumb_was_put(visitor):
    page = visitor.open()
    thumb = page.get_by_role("slider", name="Size of the pictures")
    chosen = str(int(thumb.get_attribute("min")) + 40)
    thumb.fill(chosen)
    compose(page, "the page changes elsewhere", count=1)
    compose(page, "the page changes elsewhere", count=2)
    expect(thumb).to_have_value(chosen)
    for _ in range(20):  # until it is written
        page.wait_for_timeout(500)
        reload(page)
        if thumb.input_value() == chosen:
            break
    expect(thumb).to_have_value(chosen)


def test_a_final_that_keeps_the_composition_is_drawn_as_strongly_as_the_slider_says(visitor):
    page = visitor.open()
    drawn(page, "what keeps its composition", 1)
    cell(page, 0).click()
    mode = page.get_by_role("combobox", name="How to finish")
    mode.select_option("keep-composition")
    slider, told = page.get_by_role("slider", name="Strength"), page.locator(".strength output")
    expect(told).to_have_text("0.50")
    slider.evaluate("(e) => { e.value = 0.8; e.dispatchEvent(new Event('input', { bubbles: true })) }")
    expect(told).to_have_text("0.80")  # already while it is dragged
    page.get_by_role("button", name="One more").click()  # the page changes elsewhere, and the thumb stays where it is
    expect(page.locator(".stepper output")).to_have_text("× 2")
    expect(slider).to_have_value("0.8")
    slider.evaluate("(e) => e.dispatchEvent(new Event('change', { bubbles: true }))")
    page.locator(".finish-buttons button").first.click()
    expect(page.locator(".group").first.locator(".cell.is-finished .badge")).to_have_text(["384"])
    (strength,) = [
        image["job"]["strength"] for image in visitor.server.images() if image.get("finish_mode") == "keep-composition"
    ]
    assert strength == 0.8
    mode.select_option("re-render")  # what is remembered is every test's
    expect(page.locator(".strength")).to_be_hidden()
