"""How the page words numbers: seconds, sizes, guidance. Pure; knows nothing of jobs."""

from __future__ import annotations

import re

TIMES = "×"
SNAP = "Snap to the model's own sizes"  # the switch, and what a note calls it
KEEP = "Keep its aspect ratio"  # of the one picture that goes into the model
_REFERENCE = re.compile(r"\breferences\.(\d{1,3})(?:\.\w+)?\b")
_FIELDS = {"guidance_scale": "guidance", "negative_prompt": "negative prompt", "noise_scale": "noise scale"}


def duration(seconds: float | None) -> str:
    """A length of time as people say it: "0.4 s", "31 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def about(seconds: float | None) -> str:
    """An estimate: "~31 s"; nothing where there is none."""
    return "" if seconds is None else f"~{duration(seconds)}"


def left(seconds: float | None) -> str:
    """The time that is left: "2.4 s left"; nothing where it is not known, or over."""
    return "" if seconds is None or seconds < 0.05 else f"{duration(seconds)} left"


def size(width: int, height: int) -> str:
    return f"{width} {TIMES} {height}"


def number(value: float) -> str:
    """A guidance scale or strength without needless zeros: 5, 3.5, 0.75."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def field(name: str) -> str:
    """A request's field as people say it: "guidance", "picture 2"."""
    return _FIELDS.get(name, on_page(name))


def on_page(text: str) -> str:
    """What a request is told, with the page's names for what it has: "picture 2" for references.1."""
    text = text.replace("keep_aspect=false draws", f"without “{KEEP}” it is")
    return _REFERENCE.sub(lambda found: f"picture {int(found[1]) + 1}", text)


def count(amount: int, noun: str) -> str:
    """ "1 picture", "8 pictures"."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def excerpt(text: str, limit: int = 160) -> str:
    """One line of a prompt, shortened at a word."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    return line[:limit].rsplit(" ", 1)[0] + " …"


def sentence(text: str) -> str:
    """A message as a sentence: with a capital and a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?', '…')) else '.'}" if text else ""
