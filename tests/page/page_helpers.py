"""What the page tests do with their hands."""

from __future__ import annotations

import base64
from typing import Any

from page_serving import ready
from playwright.sync_api import expect

FINISHED = ".cell.is-finished"


def reload(page: Any) -> None:
    page.reload()
    ready(page)


def cell(page: Any, index: int) -> Any:
    return page.locator(".sheet-groups .cell").nth(index)


def compose(page: Any, prompt: str, *, count: int, preset: str = "Quick") -> None:
    """The column as a test needs it, whatever an earlier one left there."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill(prompt)
    page.get_by_role("radio", name=preset).click()
    page.get_by_role("textbox", name="Seed;").fill("")
    shown = page.locator(".stepper output")
    now = int(shown.inner_text().strip("× "))
    for _ in range(abs(count - now)):
        page.get_by_role("button", name="One more" if count > now else "One fewer").click()
    expect(shown).to_have_text(f"× {count}")


def drawn(page: Any, prompt: str, count: int) -> None:
    """Pictures of two steps, in a group of their own."""
    compose(page, prompt, count=count)
    page.get_by_role("textbox", name="Steps;").fill("2")
    page.locator(".generate").click()
    expect(page.locator(".group h3").first).to_have_text(prompt)
    expect(page.locator(".group").first.locator(FINISHED)).to_have_count(count)


def drop_file(page: Any, source_url: str, name: str) -> None:
    """What a file manager does, as far as a page can see it."""
    page.evaluate(
        """async ([url, name]) => {
          const blob = await (await fetch(url)).blob();
          const data = new DataTransfer();
          data.items.add(new File([blob], name, { type: "image/png" }));
          for (const type of ["dragenter", "dragover", "drop"])
            window.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [source_url, name],
    )


def drop_bytes(page: Any, data: bytes, name: str) -> None:
    """A file of these bytes, dropped."""
    url = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
    drop_file(page, url, name)
