"""What a tab tells of its picks is taken as keys or not at all."""

from __future__ import annotations

import json

import pytest

from hidream_studio.page.picks import MOST_KEPT, keys_of


def test_keys_come_back_in_the_order_of_picking():
    assert keys_of(json.dumps(["b1", "a2"])) == ["b1", "a2"]


@pytest.mark.parametrize("told", [None, 7, "", "{", "null", '{"a": 1}', json.dumps(["a"] * (MOST_KEPT + 1))])
def test_what_is_no_list_of_keys_is_none(told):
    assert keys_of(told) == []


def test_what_is_no_key_is_left_out():
    assert keys_of(json.dumps(["a1", 3, None, "", "../x", "x" * 65, "b2"])) == ["a1", "b2"]
