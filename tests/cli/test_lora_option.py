"""`generate --lora`: a name, or a name and its strength, as a request has them."""

from __future__ import annotations

import pytest

from hidream_studio.cli.options import parser, request_from
from hidream_studio.errors import RequestError


def test_loras_are_named_with_or_without_a_strength() -> None:
    arguments = parser().parse_args(["generate", "a cat", "--lora", "ink=0.8", "--lora", "fog", "--lora", "a=b=-1"])
    loras = request_from(arguments).loras or ()
    assert [(lora.name, lora.strength) for lora in loras] == [("ink", 0.8), ("fog", 1.0), ("a=b", -1.0)]


def test_a_strength_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["generate", "a cat", "--lora", "ink=strong"])
    assert "the strength is no number" in capsys.readouterr().err
    for strength in ("2.5", "nan"):
        with pytest.raises(RequestError, match=r"loras\.0\.strength"):
            request_from(parser().parse_args(["generate", "a cat", "--lora", f"ink={strength}"]))
