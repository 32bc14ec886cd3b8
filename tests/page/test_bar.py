"""What the bar says of the queue is true, also while it is paused."""

from __future__ import annotations

import pytest

from hidream_studio.page.regions.bar import queue_words


@pytest.mark.parametrize(
    ("waiting", "running", "drain_s", "paused", "text"),
    [
        (0, 0, 0.0, False, "Queue empty"),
        (0, 0, 0.0, True, "Paused"),
        (0, 1, 2.4, False, "Drawing · ~2.4 s"),
        (3, 1, 9.2, False, "3 waiting · ~9.2 s"),
        (3, 1, 0.1, True, "Paused · 3 waiting"),  # 0.1 s would be that of the one which is still drawn
        (0, 1, 0.1, True, "Paused · Drawing · ~0.1 s"),
    ],
)
def test_the_queue_is_put_into_words(waiting, running, drain_s, paused, text):
    assert queue_words(waiting, running, drain_s, paused=paused) == text
