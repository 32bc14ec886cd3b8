"""Whether a picture can be drawn now, put together from the worker, the checkpoint and the settings. Pure."""

from __future__ import annotations

from pathlib import Path

from hidream_studio.scheduler.supervisor import WorkerState
from hidream_studio.service.checkpoint import CheckpointFacts
from hidream_studio.service.views import Health, ReferenceLimits
from hidream_studio.settings import Settings


def health_of(state: WorkerState, checkpoint: CheckpointFacts, settings: Settings) -> Health:
    facts = state.facts
    return Health(
        ready=state.ready,
        phase=state.phase,
        fraction=state.fraction,
        reason=state.reason,
        device=facts.device if facts else None,
        precision=facts.precision if facts else settings.precision or checkpoint.profile.precision,
        model=facts.model_name if facts else Path(settings.checkpoint).name,
        profile=checkpoint.profile.id,
        fingerprint=facts.fingerprint if facts else None,
        numeric_path=facts.numeric_path if facts else None,
        memory_used_mib=state.memory_used_mib,
        memory_total_mib=facts.memory_total_mib if facts else None,
        worker_restarts=state.restarts,
        worker_pid=state.pid,
        shape=None if checkpoint.parameters is None else checkpoint.shape,
        parameters=checkpoint.parameters,
        torch=facts.torch if facts else None,
        driver=facts.driver if facts else None,
        references=ReferenceLimits() if checkpoint.blind is None else None,
    )
