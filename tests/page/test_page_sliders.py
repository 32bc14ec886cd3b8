"""A slider stays where it was put, whatever changes on the page around it."""

from __future__ import annotations

import pytest
from page_helpers import cell, compose, drawn, reload
from playwright.sync_api import expect

from hidream_studio.model.checkpoint import open_checkpoint
from lora_making import make_lora

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


def test_loras_are_found_chosen_swept_and_shown(visitor, golden_checkpoint, tmp_path):
    for seed, name in enumerate(("ink", "old film")):
        make_lora(tmp_path / f"{name}.safetensors", open_checkpoint(str(golden_checkpoint)), seed)
        content = (tmp_path / f"{name}.safetensors").read_bytes()
        assert visitor.server.client.post("/api/loras", params={"name": name}, content=content).status_code == 201
    page = visitor.open()
    compose(page, "a newt with style", count=1)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator("summary", has_text="LoRAs").click()
    page.get_by_role("textbox", name="Find a LoRA").fill("FILM")
    found = page.locator(".loras-found button")
    expect(found).to_have_text(["old film"])
    found.click()
    expect(found).to_have_count(0)
    page.get_by_role("textbox", name="Find a LoRA").fill("")
    found.get_by_text("ink").click()
    strength, thumb = (
        page.get_by_role("textbox", name="Strengths of ink"),
        page.get_by_role("slider", name="Strength of ink"),
    )
    thumb.fill("-0.5")
    expect(strength).to_have_value("-0.5")
    strength.fill("0, 0.5, 1")
    expect(page.locator(".compose-go .hint")).to_have_text("Contact sheet: 3 strengths")
    expect(page.locator(".generate")).to_contain_text("Generate 3")
    page.locator(".generate").click()
    expect(page.locator(".group").first.locator(".cell.is-finished")).to_have_count(3)
    cell(page, 1).click()
    expect(page.locator(".facts")).to_contain_text("ink 0.5, old film 1")
    page.get_by_role("button", name="Without old film").click()
    page.get_by_role("button", name="Recall settings").click()
    expect(page.get_by_role("textbox", name="Strengths of old film")).to_have_value("1")
    expect(strength).to_have_value("0.5")
    for name in ("old film", "ink"):
        page.get_by_role("button", name=f"Without {name}").click()
        assert visitor.server.client.delete(f"/api/loras/{name}").status_code == 204
    expect(page.locator(".loras-chosen .lora")).to_have_count(0)
