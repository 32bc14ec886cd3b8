"""What a machine's settings mean, wherever they come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hidream_studio.settings import EMBEDDED_CHECKPOINT, Settings


def test_a_leading_tilde_is_the_home_folder_which_a_shell_leaves_alone_after_an_equals_sign(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HIDREAM_STUDIO_DATA", "~/pictures")
    settings = Settings(model="~/models/tiny")
    assert settings.checkpoint == str(tmp_path / "models" / "tiny")
    assert settings.data == tmp_path / "pictures"


@pytest.mark.parametrize("model", ["owner/name", "models/~tiny", "/models/tiny"])
def test_other_models_stay_as_they_were_said(model: str) -> None:
    assert Settings(model=model).checkpoint == model


def test_without_a_model_it_is_the_embedded_one() -> None:
    assert Settings().checkpoint == str(EMBEDDED_CHECKPOINT)


def test_a_home_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="~nobody-of-that-name/tiny: there is no such home folder"):
        Settings(model="~nobody-of-that-name/tiny")


@pytest.mark.parametrize("value", ["lots", "-3", "0", "nan", "inf", ""])
def test_memory_is_auto_or_a_number_of_gib(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDREAM_STUDIO_VRAM", value)
    with pytest.raises(ValidationError, match="is neither auto nor a number of GiB above 0"):
        Settings()
    for told, gib in (("auto", None), ("7.5", 7.5)):
        monkeypatch.setenv("HIDREAM_STUDIO_VRAM", told)
        assert Settings().vram == gib
