"""Ids are unique, sort by time and are safe in URLs and paths."""

from __future__ import annotations

import re
import time
from datetime import datetime

from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import ID_LENGTH, is_id, new_id, new_ids


def test_ten_thousand_ids_are_all_different_and_safe_in_a_url() -> None:
    ids = {new_id() for _ in range(10_000)}

    assert len(ids) == 10_000
    assert all(re.fullmatch(r"[0-9a-v]{26}", one) and len(one) == ID_LENGTH and is_id(one) for one in ids)


def test_an_id_made_later_sorts_later() -> None:
    first = new_id()
    time.sleep(0.003)

    assert first < new_id()


def test_the_ids_of_one_batch_rise() -> None:
    ids = new_ids(500)

    assert ids == sorted(ids) and len(set(ids)) == 500


def test_a_path_is_no_id() -> None:
    for text in ("", "..", "../../etc/passwd", new_id().upper(), new_id() + "x", "w" * ID_LENGTH, new_id()[:-1] + "\n"):
        assert not is_id(text)


def test_now_is_told_in_utc_with_milliseconds() -> None:
    now = utc_now()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now)
    assert abs(datetime.fromisoformat(now).timestamp() - time.time()) < 5
