"""docs/options.md names every option, variable and search key."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from hidream_studio.cli.options import parser
from hidream_studio.library.search import _SETTINGS as SEARCH_KEYS
from hidream_studio.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "options.md").read_text(encoding="utf-8")


def options(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        yield from (option for option in action.option_strings if option not in ("-h", "--help"))
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from options(inner)


def test_every_option_variable_and_search_key_is_documented() -> None:
    names = {f"`{option}" for option in options(parser())}
    names |= {f"`HIDREAM_STUDIO_{field.upper()}`" for field in Settings.model_fields}
    names |= {f"`{key}:" for key in SEARCH_KEYS}
    assert {name for name in names if name not in PAGE} == set()
