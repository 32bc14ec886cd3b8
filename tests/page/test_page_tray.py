"""Picks and the tray that holds them: kept over a reload, priced as everywhere else, and honest about its limits."""

from __future__ import annotations

import pytest
from page_helpers import cell, drawn, ready, reload
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PRICES_AGREE = """() => {
  const told = (selector) => document.querySelector(selector)?.innerText;
  const prices = [".finish-buttons", ".tray"].map((place) =>
    [...document.querySelectorAll(`${place} button:not(.quiet) .estimate:not([hidden])`)].map((e) => e.innerText));
  return told(".queue-text") === "Queue empty" && prices[0].length === 2 && String(prices[0]) === String(prices[1]);
}"""


def pick(page, index):
    cell(page, index).locator(".cell-pick").click()


def reload_with(page, *, picks):
    """As a person reloads: not within the milliseconds between what the page shows and what the tab keeps."""
    kept = "JSON.parse(sessionStorage.getItem('studio.picks') ?? '[]')"
    page.wait_for_function(f"count => {kept}.length === count", arg=picks)
    reload(page)


def test_picks_outlive_a_reload_in_the_tab_that_they_were_made_in(visitor):
    page = visitor.open()
    drawn(page, "what is picked for good", 3)
    count = page.locator(".tray-count")
    for index in (2, 0):
        pick(page, index)
    expect(count).to_have_text("2 picked")
    strip = page.locator(".tray-picks button")
    order = [strip.nth(at).get_attribute("aria-label") for at in range(2)]
    reload_with(page, picks=2)
    expect(count).to_have_text("2 picked")
    expect(page.locator(".cell.picked")).to_have_count(2)
    assert [strip.nth(at).get_attribute("aria-label") for at in range(2)] == order

    other_tab = page.context.new_page()
    visitor.watch.follow(other_tab)
    other_tab.goto(visitor.server.url)
    ready(other_tab)
    expect(cell(other_tab, 0)).to_have_class("cell is-finished")
    expect(other_tab.locator(".tray-hints")).to_be_visible()
    pick(other_tab, 1)
    expect(other_tab.locator(".tray-count")).to_have_text("1 picked")
    expect(count).to_have_text("2 picked")

    pick(page, 0)
    expect(count).to_have_text("1 picked")
    reload_with(page, picks=1)
    expect(count).to_have_text("1 picked")
    page.locator(".tray button", has_text="Clear").click()
    expect(count).to_have_count(0)
    reload_with(page, picks=0)
    pick(page, 1)
    expect(count).to_have_text("1 picked")  # and none of those that were cleared


def test_compare_says_at_its_button_how_many_it_takes(visitor):
    page = visitor.open()
    drawn(page, "more than can be compared", 5)
    button = page.locator(".tray").get_by_role("button", name="Compare")
    pick(page, 0)
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", "Compare takes 2 to 4 pictures")
    for index in range(1, 4):
        pick(page, index)
    expect(button).to_be_enabled()
    expect(button).to_have_text("Compare")
    pick(page, 4)
    expect(button).to_be_disabled()
    expect(button).to_have_text("Compareat most 4")
    page.keyboard.press("c")
    expect(page.locator(".toast").last).to_have_text("Compare takes 2 to 4 pictures: 5 are picked.")
    pick(page, 4)
    button.click()
    expect(page.locator(".viewer-chip")).to_have_count(4)


def test_the_tray_names_the_price_that_the_picture_itself_names(visitor):
    page = visitor.open()
    drawn(page, "what finishing costs", 1)
    cell(page, 0).click()
    pick(page, 0)
    page.wait_for_function(PRICES_AGREE)
    page.get_by_role("textbox", name="Steps;").fill("60")  # by now it is better known what a step takes
    page.locator(".generate").click()
    page.wait_for_selector(".cell.is-running")  # which watches every frame
    page.wait_for_function(PRICES_AGREE)


def test_a_pick_becomes_its_final_so_that_finals_are_compared(visitor):
    page = visitor.open()
    drawn(page, "what is finished and compared", 2)
    for index in range(2):
        pick(page, index)
    tray = page.locator(".tray")
    tray.get_by_role("button", name="Finish all at 384").click()
    expect(page.locator(".group").first.locator(".cell.is-finished .badge")).to_have_text(["384", "384"])
    expect(tray.get_by_role("status")).to_have_text("2 picked")
    tray.get_by_role("button", name="Compare").click()
    expect(page.locator(".viewer-label").first).to_contain_text("384 × 384")
    expect(page.locator(".viewer-label").last).to_contain_text("384 × 384")
    page.keyboard.press("Escape")
    cell(page, 0).locator(".cell-versions button").first.click()  # the draft: it is what is seen now, and so picked
    tray.get_by_role("button", name="Compare").click()
    expect(page.locator(".viewer-differences")).to_contain_text("384 × 384")
    expect(page.locator(".viewer-differences")).to_contain_text("256 × 256")
    page.keyboard.press("Escape")
    page.wait_for_function("!history.state?.over")  # going back in the history would end the reload
    reload(page)
    expect(tray.get_by_role("status")).to_have_text("2 picked")
    cell(page, 1).click()
    page.keyboard.press("x")
    expect(tray.get_by_role("status")).to_have_text("1 picked")
