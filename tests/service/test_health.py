"""What is told of a worker that has not said anything yet."""

from __future__ import annotations

from hidream_studio.scheduler.supervisor import WorkerState
from hidream_studio.service.checkpoint import read_checkpoint
from hidream_studio.service.costs import Costs
from hidream_studio.service.health import health_of
from hidream_studio.settings import EMBEDDED_CHECKPOINT, Settings


def test_before_it_is_loaded_a_models_own_precision_counts_unless_another_was_asked_for():
    checkpoint = read_checkpoint(str(EMBEDDED_CHECKPOINT), None)
    for asked, used in ((None, "fp32"), ("bf16", "bf16")):
        settings = Settings(device="cuda", precision=asked)
        assert health_of(WorkerState(), checkpoint, settings).precision == used
        costs = Costs(settings, checkpoint.shape, [], checkpoint.profile.precision)
        assert costs._model.key.precision == used
