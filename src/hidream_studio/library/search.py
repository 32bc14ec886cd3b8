"""A search line as conditions: words that the prompt holds, and settings such as `seed:42`. Knows images only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from sqlalchemy import ColumnElement, and_, exists, func, select

from hidream_studio.errors import RequestError
from hidream_studio.job.request import MAX_SEED
from hidream_studio.job.sizes import read_size
from hidream_studio.library.models import ImageRow

MAX_QUERY_CHARS = 1000
MAX_TERMS = 50

Condition = ColumnElement[bool]

_TERM = re.compile(r'"([^"]*)"?|(\S+)')
_YES, _NO = frozenset({"1", "yes", "true"}), frozenset({"0", "no", "false"})


def fold(text: str) -> str:
    """The form in which texts are compared: without case, and composed characters alike."""
    return unicodedata.normalize("NFKC", text).casefold()


def conditions(query: str) -> list[Condition]:
    """All of which a picture must meet. A quoted term is a phrase; `unknown:word` is a word like others.

    Raises
    ------
    RequestError
        when the line is too long, or a setting's value is none.
    """
    if len(query) > MAX_QUERY_CHARS:
        raise RequestError(
            f"the search has {len(query):,} characters; at most {MAX_QUERY_CHARS:,} are read",
            field="q", limit=MAX_QUERY_CHARS,
        )  # fmt: skip
    if "\x00" in query or any("\ud800" <= character <= "\udfff" for character in query):
        raise RequestError("the search holds a character that no prompt can hold: NUL, or half of one", field="q")
    terms = list(_TERM.finditer(query))
    if len(terms) > MAX_TERMS:
        raise RequestError(
            f"the search has {len(terms)} terms; at most {MAX_TERMS} are read", field="q", limit=MAX_TERMS
        )
    return [_condition(term) for term in terms if term[1] != ""]


def _condition(term: re.Match[str]) -> Condition:
    phrase, word = term[1], term[2]
    if phrase is not None:
        return _holds(phrase)
    key, colon, value = word.partition(":")
    setting = _SETTINGS.get(key.lower()) if colon else None
    return _holds(word) if setting is None else setting(value)


def _holds(text: str) -> Condition:
    return func.instr(ImageRow.prompt_folded, fold(text)) > 0  # no LIKE: % and _ mean themselves


def _seed(value: str) -> Condition:
    return ImageRow.seed == _whole("seed", value, MAX_SEED)


def _steps(value: str) -> Condition:
    return ImageRow.steps == _whole("steps", value, 10_000)


def _size(value: str) -> Condition:
    sides = read_size(value)
    if sides is None:
        raise _refused("size", value, "512x512")
    return and_(ImageRow.width == sides[0], ImageRow.height == sides[1])


def _guidance(value: str) -> Condition:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{0,6})?", value):
        raise _refused("guidance", value, "3.5")
    return func.abs(ImageRow.guidance_scale - float(value)) < 1e-6


def _favourite(value: str) -> Condition:
    if value.lower() not in _YES | _NO:
        raise _refused("fav", value, "1 or 0")
    return ImageRow.favourite.is_(value.lower() in _YES)


def _preset(value: str) -> Condition:
    return func.coalesce(ImageRow.preset, "none") == value.lower()


def _lane(value: str) -> Condition:
    return ImageRow.lane == value.lower()


def _recipe(value: str) -> Condition:
    return ImageRow.recipe == value.lower()


def _lora(value: str) -> Condition:
    """A part of the name of one of its LoRAs."""
    each = func.json_each(ImageRow.job, "$.loras").table_valued("value")
    name = func.json_extract(each.c.value, "$.name")
    return exists(select(1).select_from(each).where(func.instr(func.lower(name), value.lower()) > 0))


_SETTINGS: dict[str, Callable[[str], Condition]] = {
    "seed": _seed, "steps": _steps, "size": _size, "guidance": _guidance, "fav": _favourite, "preset": _preset,
    "lane": _lane, "recipe": _recipe, "lora": _lora,
}  # fmt: skip


def _whole(key: str, value: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", value) or int(value) > most:
        raise _refused(key, value, f"a whole number up to {most}")
    return int(value)


def _refused(key: str, value: str, example: str) -> RequestError:
    return RequestError(f"{key}:{value[:40]} cannot be searched for; {key}: takes {example}", field="q", limit=example)
