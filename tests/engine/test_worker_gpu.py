"""What a worker does when its GPU runs out of memory or breaks. A fake stands for the GPU; the loop is the real one."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from hidream_studio.engine.devices import Device
from hidream_studio.engine.messages import (
    Broken,
    Draw,
    Failed,
    Finished,
    FromWorker,
    PreviewReady,
    Stop,
    ToWorker,
    WorkerSpec,
)
from hidream_studio.engine.pipeline import Pixels, Rendered, Step
from hidream_studio.engine.worker import Worker
from hidream_studio.errors import OutOfMemoryError
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.request import GenerationRequest

SPEC = WorkerSpec(
    checkpoint="", profile=None, device="cpu", precision=None, fused=None, threads=1, preview_interval_s=0.0,
)  # fmt: skip


class SmallGpu:
    """Draws grey pictures; those above 512² need more memory than it has, and seed 13 breaks it."""

    runs_on = Device(torch.device("cpu"))
    profile = HIDREAM_O1_IMAGE
    loras = SimpleNamespace(know=lambda paths: None)
    kept_text_bytes: ClassVar[dict[int, int]] = {}
    max_kept_bytes = None

    def __init__(self) -> None:
        self.open_renders = 0
        self.alive_when_freed: list[bool] = []  # whether a failed job's tensor still was, each time memory was freed
        self._state: weakref.ref[torch.Tensor] | None = None

    def text_bytes(self, job: Job, references: object = ()) -> dict[int, int]:
        return {}

    def free_memory(self) -> None:
        assert self._state is not None
        self.alive_when_freed.append(self._state() is not None)

    def check_prompt(self, job: Job, references: object = ()) -> None: ...

    def prepare(self, job: Job) -> None: ...

    def render(
        self, job: Job, *, init_image: Pixels | None = None, references: object = ()
    ) -> Generator[Step, None, Rendered]:
        self.open_renders += 1
        state = torch.zeros(1000)
        self._state = weakref.ref(state)
        try:
            pixels = np.full((job.height, job.width, 3), 128, np.uint8)
            for index in range(job.steps):
                if job.width * job.height > 512 * 512:
                    raise OutOfMemoryError("drawing 2048×2048 needs 9.0 GiB, and 1.5 GiB are free")
                if job.seed == 13:
                    raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines")
                if job.seed == 14:
                    raise RuntimeError("shapes do not fit")
                if job.seed == 16:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
                if job.seed == 15:
                    raise MemoryError("Unable to allocate 7.28 TiB for an array with shape (1000000000000,)")
                yield Step(index, job.steps, lambda: pixels)
            return Rendered(pixels, 0.0, 0.1, 0.0)
        finally:
            self.open_renders -= 1


def job(**values: Any) -> Job:
    asked = {"prompt": "a cat", "seed": 1, "width": 256, "height": 256, "snap_resolution": False, "steps": 2}
    return pin(GenerationRequest(**{**asked, **values}), HIDREAM_O1_IMAGE).job


def said_of(gpu: SmallGpu, *jobs: Job) -> list[FromWorker]:
    """Everything that a worker with this GPU says until it is told to stop, when there is nothing left to draw."""
    messages: list[ToWorker] = [Draw(str(index), one, "draft", index) for index, one in enumerate(jobs)]
    said: list[FromWorker] = []

    def take(*, block: bool) -> ToWorker | None:
        if messages:
            return messages.pop(0)
        return Stop() if block else None

    inbox, outbox = SimpleNamespace(take=take), SimpleNamespace(send=said.append)
    Worker(gpu, SPEC, inbox, outbox).run()  # type: ignore[arg-type]
    return said


def ends(said: list[FromWorker]) -> dict[str, str]:
    return {
        m.job_id: m.code if isinstance(m, Failed) else "finished" for m in said if isinstance(m, (Failed, Finished))
    }


def test_a_job_that_does_not_fit_fails_with_what_was_needed_and_free_and_others_are_drawn():
    gpu = SmallGpu()
    said = said_of(gpu, job(), job(width=2048, height=2048), job(seed=2))
    assert ends(said) == {"0": "finished", "1": "out_of_memory", "2": "finished"}
    (failure,) = [message for message in said if isinstance(message, Failed)]
    assert failure.message == "drawing 2048×2048 needs 9.0 GiB, and 1.5 GiB are free"
    assert gpu.open_renders == 0


def test_a_broken_device_ends_the_process_so_that_another_may_start():
    said = said_of(SmallGpu(), job(), job(seed=13), job(seed=2))
    assert isinstance(said[-1], (Broken, Finished, PreviewReady))  # what threads were at may still arrive
    (broken,) = [message for message in said if isinstance(message, Broken)]
    assert broken.message == "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert ends(said) == {"0": "finished"}  # what was drawn is still written


def test_an_error_nobody_thought_of_fails_its_job_in_one_line():
    said = said_of(SmallGpu(), job(seed=14), job())
    assert ends(said) == {"0": "worker_failed", "1": "finished"}
    (failure,) = [message for message in said if isinstance(message, Failed)]
    assert failure.message == "drawing failed: RuntimeError: shapes do not fit"


def test_python_s_own_memory_error_is_told_as_one_too():
    said = said_of(SmallGpu(), job(seed=15), job())
    assert ends(said) == {"0": "out_of_memory", "1": "finished"}
    (failure,) = [message for message in said if isinstance(message, Failed)]
    assert failure.message.startswith("drawing 256×256 needed another 7.28 TiB in this machine's memory, where")


@pytest.mark.parametrize("too_large", [job(width=2048, height=2048), job(seed=16), job(seed=15)])
def test_nothing_of_a_job_that_ran_out_of_memory_is_left_when_memory_is_freed(too_large: Job):
    gpu = SmallGpu()
    assert ends(said_of(gpu, too_large, job())) == {"0": "out_of_memory", "1": "finished"}
    assert gpu.alive_when_freed == [False]
