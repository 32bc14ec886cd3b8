"""Previews and files are made beside the step loop, and take nothing from it."""

from __future__ import annotations

from multiprocessing import Pipe

import numpy as np
import pytest
import torch

from hidream_studio.engine.mailbox import Outbox
from hidream_studio.engine.picture_encoder import PictureEncoder


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_preview_is_made_without_helper_threads_and_leaves_the_step_loop_its_own(two_threads):
    ours, theirs = Pipe()
    seen = []

    def pixels():
        seen.append(torch.get_num_threads())
        return np.zeros((32, 32, 3), dtype=np.uint8)

    encoder = PictureEncoder(Outbox(theirs), preview_interval_s=0.0)
    encoder.offer_preview("job", 1, pixels)
    assert ours.poll(20)
    assert ours.recv().job_id == "job"
    encoder.close()
    assert seen == [1]
    assert torch.get_num_threads() == 2
