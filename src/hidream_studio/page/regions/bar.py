"""The bar on top: is the model ready, how long is the queue. And the banner that says what is in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hidream_studio.page import words
from hidream_studio.page.dom import Tag, icon_button
from hidream_studio.page.state.session import Session
from hidream_studio.service.views import Health


class Bar:
    def __init__(self, session: Session, *, on_help: Callable[[], Any], on_settings: Callable[[], Any]) -> None:
        self._session = session
        with Tag("header", classes="bar"):
            Tag("h1", "HiDream Studio")
            self._status = Tag("span", "", "status", role="status")
            self._model = Tag("span", "", "bar-model")
            Tag("span", classes="bar-space")
            with Tag("div", classes="queue"):
                self._queue = Tag("span", "", "queue-text")
                self._pause = icon_button("pause", "Pause the queue", session.run(self._toggle_pause))
                self._clear = Tag(
                    "button", "Clear", "small quiet", on_click=session.run(self._clear_queue), title="Cancel all jobs"
                )
            icon_button("help", "Keys (?)", on_help)
            icon_button("settings", "Settings", on_settings)
        self._banner = Tag("div", classes="banner", role="alert", hidden=True)
        with self._banner:
            with Tag("p"):
                self._banner_title = Tag("b", "")
                self._banner_text = Tag("span", "")
            self._again = Tag("button", "Try again", "small", on_click=session.run(session.studio.restart_worker))
            self._progress = Tag("i", classes="banner-bar")
        session.on.worker.add(self.draw_worker)
        session.on.queue.add(self.draw_queue)
        self.draw_worker()
        self.draw_queue()

    def draw_worker(self) -> None:
        health = self._session.studio.health()
        failed = health.phase == "failed"
        self._status.set_text("Ready" if health.ready else _capital(health.phase))
        for name, on in (("ready", health.ready), ("busy", not health.ready and not failed), ("failed", failed)):
            self._status.set_class(name, on)
        parts = [self._session.profile.name, health.device, health.precision]
        self._model.set_text(" · ".join(_device_name(part) for part in parts if part))
        self._banner.show(not health.ready)
        self._banner.set_class("failed", failed)
        title, text = banner_words(health)
        self._banner_title.set_text(title)
        self._banner_text.set_text(text)
        self._again.show(failed)
        percent = 0 if health.fraction is None else round(100 * health.fraction)
        self._progress.set(style=f"width:{percent}%")

    def draw_queue(self) -> None:
        summary = self._session.studio.queue_summary()
        paused = bool(summary.paused)
        self._queue.set_text(queue_words(summary.waiting, summary.running, summary.drain_s, paused=paused))
        busy = summary.waiting + summary.running > 0
        self._queue.set_class("busy", busy)
        self._clear.show(busy)
        label = "Resume the queue" if paused else "Pause the queue"
        self._pause.set(aria_label=label, title=label, aria_pressed="true" if paused else "false")
        picture = self._pause.default_slot.children[0]
        assert isinstance(picture, Tag)
        picture.set_class("icon-pause", not paused)
        picture.set_class("icon-play", paused)

    def _toggle_pause(self) -> None:
        studio = self._session.studio
        if studio.queue_summary().paused:
            studio.resume()
        else:
            studio.pause()
        self.draw_queue()

    async def _clear_queue(self) -> None:
        await self._session.studio.clear()


def queue_words(waiting: int, running: int, drain_s: float, *, paused: bool) -> str:
    if waiting + running == 0:
        return "Paused" if paused else "Queue empty"
    text = f"{waiting} waiting" if waiting else "Drawing"
    if drain_s > 0 and not (paused and waiting):  # those that wait take as long as the pause
        text += f" · {words.about(drain_s)}"
    return f"Paused · {text}" if paused else text


def banner_words(health: Health) -> tuple[str, str]:
    """What is in the way of drawing, and what that means for the one who waits."""
    if health.phase == "failed":
        return "The model could not be loaded.", health.reason or ""
    percent = "" if health.fraction is None else f" {round(100 * health.fraction)} %"
    title = f"{_capital(health.phase)}{percent}."
    if health.reason:
        title = f"{title} {_capital(health.reason)}"
    return title, "Your pictures and prompt are safe; what you generate now waits until it is ready."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _device_name(text: str) -> str:
    return text.upper() if text in ("cpu", "cuda") else text
