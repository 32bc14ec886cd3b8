"""Plain HTML elements for NiceGUI: a tag with text, classes, attributes and a click, and no framework's look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui.element import Element


class Tag(Element):
    """One HTML element. Text is shown as text: nothing in it is ever markup."""

    def __init__(
        self,
        tag: str,
        text: str | None = None,
        classes: str = "",
        *,
        on_click: Callable[[], Any] | None = None,
        **attributes: str | int | float | bool | None,
    ) -> None:
        super().__init__(tag)
        self._text = text
        if classes:
            self._classes.extend(classes.split())
        if tag == "button":
            self._props["type"] = "button"
        for name, value in attributes.items():
            if value is not None:
                self._props[_attribute(name)] = value
        if on_click is not None:
            self.on("click", lambda _: on_click(), args=[])

    def set_text(self, text: str) -> None:
        if self._text != text:
            self._text = text
            self.update()

    def set(self, **attributes: str | int | float | bool | None) -> None:
        """Change attributes; None takes one away."""
        changed = False
        for name, value in attributes.items():
            key = _attribute(name)
            if value is None:
                changed |= self._props.pop(key, None) is not None
            elif self._props.get(key) != value:
                self._props[key] = value
                changed = True
        if changed:
            self.update()

    def set_class(self, name: str, on: bool) -> None:
        if on != (name in self._classes):
            (self._classes.append if on else self._classes.remove)(name)
            self.update()

    def show(self, visible: bool) -> None:
        self.set(hidden=None if visible else True)


def slider(low: float, high: float, step: float, value: float, aria_label: str | None = None) -> Tag:
    """A range whose thumb is the visitor's from here on.

    `value` is set as an attribute, where the thumb starts (Vue's `^`). As a property it would put the thumb back each
    time that the page changes anywhere, also while it is being dragged: Vue sets that one whenever it renders.
    """
    made = Tag("input", type="range", min=low, max=high, step=step, aria_label=aria_label)
    made.set(**{"^value": value})
    return made


def icon(name: str) -> Tag:
    return Tag("i", classes=f"icon icon-{name}", aria_hidden="true")


def button(
    text: str, on_click: Callable[[], Any], classes: str = "", *, icon_name: str | None = None, **attributes: Any
) -> Tag:
    """A button with a text, and an icon before it."""
    made = Tag("button", None, classes, on_click=on_click, **attributes)
    with made:
        if icon_name is not None:
            icon(icon_name)
        Tag("span", text)
    return made


def icon_button(name: str, label: str, on_click: Callable[[], Any], classes: str = "tool", **attributes: Any) -> Tag:
    """A button of an icon alone; `label` is its name for screen readers and on hovering."""
    made = Tag("button", None, classes, on_click=on_click, aria_label=label, title=label, **attributes)
    with made:
        icon(name)
    return made


def _attribute(name: str) -> str:
    """`aria_label` → `aria-label`, `type_` → `type`."""
    return name.rstrip("_").replace("_", "-")
