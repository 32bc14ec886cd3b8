"""The process that holds the model: before each step it asks whose step is next. Knows nothing of HTTP or SQLite.

It leaves when its pipe closes, and ignores the keyboard's interrupt, which is meant for the server.
"""

from __future__ import annotations

import gc
import io
import logging
import signal
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from PIL import Image

from hidream_studio.engine.devices import MIB, Device, Mark, is_out_of_memory, out_of_memory_message
from hidream_studio.engine.mailbox import Inbox, Outbox
from hidream_studio.engine.messages import (
    Broken,
    Cancel,
    Cancelled,
    Draw,
    Drawn,
    Failed,
    LoadFailed,
    Phase,
    Ready,
    Recall,
    Reorder,
    Returned,
    StepBegins,
    StepDone,
    Stop,
    ToWorker,
    WorkerSpec,
)
from hidream_studio.engine.picture_encoder import PictureEncoder
from hidream_studio.engine.prepared import Prepared, Preparer
from hidream_studio.engine.turns import Contender, Turns, state_bytes
from hidream_studio.errors import NotFoundError, OutOfMemoryError, StudioError, WorkerError
from hidream_studio.job.job import Job, pin
from hidream_studio.job.record import Timings
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.sizes import covering_box

if TYPE_CHECKING:
    from hidream_studio.engine.pipeline import Pipeline, Step
    from hidream_studio.engine.text_cache import TextBytes

WARM_UP_SIDE_CPU_PX = 256
GUIDED = 5.0  # any guidance scale above 1
STEPS_IN_FLIGHT = 2  # on a GPU: the next step's launches hide behind the step that runs, and a draft waits for no more


def serve(connection: Connection, spec: WorkerSpec) -> None:
    """Load the model and draw what comes, until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the whole group: the server ends us, after the step
    outbox = Outbox(connection)
    inbox = Inbox(connection)
    try:
        pipeline = _load(spec, outbox)
    except StudioError as error:
        outbox.send(LoadFailed(error.code, error.message, permanent=not isinstance(error, OutOfMemoryError)))
    except Exception as error:  # the reason must reach the user, whatever it is
        logging.getLogger(__name__).exception("loading failed")
        message = f"the model could not be loaded: {_one_line(error)}"
        code = OutOfMemoryError.code if is_out_of_memory(error) else WorkerError.code
        outbox.send(LoadFailed(code, message, permanent=False))
    else:
        Worker(pipeline, spec, inbox, outbox).run()
    outbox.close()


def _load(spec: WorkerSpec, outbox: Outbox) -> Pipeline:
    from hidream_studio.engine.pipeline import Pipeline

    pipeline = Pipeline.load(
        spec.checkpoint,
        profile=spec.profile,
        device=spec.device,
        precision=spec.precision,
        fused=spec.fused,
        threads=spec.threads,
        vram_gib=spec.vram_gib,
        tokenizer=spec.tokenizer,
        on_phase=lambda name, fraction: outbox.send(Phase(name, fraction)),
    )
    outbox.send(Phase("warming up"))
    begun_s = time.perf_counter()
    _warm_up(pipeline)
    logging.getLogger(__name__).info(
        "warmed up in %.1f s, ready %.1f s after the process began",
        time.perf_counter() - begun_s, time.time() - psutil.Process().create_time(),
    )  # fmt: skip
    device = pipeline.runs_on
    memory = device.memory()
    outbox.send(
        Ready(
            device=device.name,
            precision=pipeline.precision,
            model_name=pipeline.model_name,
            profile=pipeline.profile.id,
            fingerprint=pipeline.fingerprint,
            numeric_path=pipeline.numeric_path,
            memory_total_mib=None if memory is None else memory.total / MIB,
            torch=str(torch.__version__),
            driver=device.driver_version(),
        )
    )
    return pipeline


def _warm_up(pipeline: Pipeline) -> None:
    """A step without and, on a GPU, one with guidance: kernels are chosen here, not under the first user's eyes."""
    request = GenerationRequest(prompt="warm-up", seed=0, preset="quick", snap_resolution=False, guidance_scale=1.0)
    requests = [request, request.model_copy(update={"guidance_scale": GUIDED})]
    if not pipeline.runs_on.is_gpu:  # nothing to choose; a large step would only take long
        side_px = WARM_UP_SIDE_CPU_PX
        requests = [request.model_copy(update={"width": side_px, "height": side_px})]
    for request in requests:
        render = pipeline.render(pin(request, pipeline.profile).job)
        next(render)
        render.close()


@dataclass
class _Held:
    """A job in the worker's hands. `render` is None until its first step."""

    draw: Draw
    order: float
    pictures: Future[Prepared]
    text_bytes: TextBytes | None = None  # None: not known before its pictures are ready
    render: Iterator[Step] | None = None
    done: int = 0  # steps

    @property
    def ready(self) -> bool:
        """Whether a step of it waits for nothing."""
        return self.pictures.done()

    def contender(self) -> Contender:
        draw = self.draw
        begun = self.render is not None
        return Contender(draw.job_id, draw.lane, self.order, begun, state_bytes(draw.job), self.text_bytes or {})

    def close(self) -> None:
        if self.render is not None:
            self.render.close()  # type: ignore[attr-defined]  # a generator
            self.render = None


class Worker:
    """The step loop over the jobs held."""

    def __init__(self, pipeline: Pipeline, spec: WorkerSpec, inbox: Inbox, outbox: Outbox) -> None:
        self._pipeline = pipeline
        self._inbox = inbox
        self._outbox = outbox
        kept = pipeline.max_kept_bytes
        self._turns = Turns(max_state_bytes=spec.max_state_bytes if kept is None else min(kept, spec.max_state_bytes))
        self._held: dict[str, _Held] = {}
        self._pace = _Pace(pipeline.runs_on)
        self._preparer = Preparer(pipeline.profile)
        self._encoder = PictureEncoder(outbox, preview_interval_s=spec.preview_interval_s)

    def run(self) -> None:
        """Step until told to stop."""
        while self._take_messages():
            ready = [held for held in self._held.values() if held.ready]
            for held in ready:
                self._know_text_bytes(held)
            contenders = [held.contender() for held in ready]
            kept = self._pipeline.kept_text_bytes
            job_id = self._turns.choose(contenders, time.monotonic(), kept_text_bytes=kept)
            if job_id is None:
                continue
            try:
                self._step(self._held[job_id])
            except _DeviceBroken as error:
                self._outbox.send(Broken(str(error)))
                break
        self._encoder.close()

    def _take_messages(self) -> bool:
        """Act on everything that came; wait for something when no job is ready. False when told to stop."""
        while (message := self._inbox.take(block=not any(held.ready for held in self._held.values()))) is not None:
            if isinstance(message, Stop):
                return False
            self._act(message)
        return True

    def _act(self, message: ToWorker) -> None:
        if isinstance(message, Draw):
            self._pipeline.loras.know(message.loras)
            if self._held:  # there is a step to do it beside
                self._pipeline.prepare(message.job)
            pictures = self._preparer.ask(message.job, message.references)
            if not pictures.done():
                pictures.add_done_callback(lambda _: self._inbox.wake())
            # the files have been read, or are about to be: they are not kept a second time
            self._held[message.job_id] = _Held(replace(message, references=()), message.order, pictures)
        elif isinstance(message, Cancel):
            if self._drop(message.job_id):
                self._outbox.send(Cancelled(message.job_id))
        elif isinstance(message, Recall):
            held = self._held.get(message.job_id)
            if held is not None and held.render is None:
                self._drop(message.job_id)
                self._outbox.send(Returned(message.job_id))
        elif isinstance(message, Reorder) and message.job_id in self._held:
            self._held[message.job_id].order = message.order

    def _know_text_bytes(self, held: _Held) -> None:
        if held.text_bytes is not None:
            return
        try:
            held.text_bytes = self._pipeline.text_bytes(held.draw.job, held.pictures.result())
        except Exception:  # noqa: BLE001  its first step will say what is wrong with it
            held.text_bytes = {}

    def _step(self, held: _Held) -> None:
        """One step of one job; after its last one, the picture."""
        failure = self._failure_in_step(held)
        if failure is None:
            return
        self._drop(held.draw.job_id)
        if failure.code == OutOfMemoryError.code:
            gc.collect()
            self._preparer.clear()
            self._pipeline.free_memory()
        self._outbox.send(failure)

    def _failure_in_step(self, held: _Held) -> Failed | None:
        """Take the step. The error itself does not leave: its traceback holds the tensors of the step."""
        job_id = held.draw.job_id
        try:
            self._advance(held)
        except StudioError as error:
            return Failed(job_id, error.code, error.message)
        except Exception as error:
            if is_out_of_memory(error):  # outside the pipeline: the draft that is made larger, or a message
                what = f"drawing {held.draw.job.width}×{held.draw.job.height}"
                message = out_of_memory_message(error, self._pipeline.runs_on, what)
                return Failed(job_id, OutOfMemoryError.code, message)
            if "CUDA error" in str(error):  # sticky: every later call in this process fails too
                raise _DeviceBroken(_one_line(error)) from error
            logging.getLogger(__name__).exception("drawing failed")
            return Failed(job_id, WorkerError.code, f"drawing failed: {_one_line(error)}")
        return None

    def _advance(self, held: _Held) -> None:
        job_id = held.draw.job_id
        self._outbox.send(StepBegins(job_id, held.done, first=held.render is None))
        if held.render is None:
            held.render = self._begin(held.draw, held.pictures.result())
        step = next(held.render)
        self._pace.step_launched()
        held.done = step.index + 1
        self._outbox.send(StepDone(job_id, held.done, step.total))
        if held.done < step.total:
            self._encoder.offer_preview(job_id, held.done, step.preview)
        else:
            self._end(held)

    def _begin(self, draw: Draw, pictures: Prepared) -> Iterator[Step]:
        self._pipeline.check_prompt(draw.job, pictures)
        init_image = None if draw.init_image is None else _read_init_image(draw.init_image, draw.job)
        return self._pipeline.render(draw.job, init_image=init_image, references=pictures)

    def _end(self, held: _Held) -> None:
        """Decode, and leave the rest to the encoder."""
        assert held.render is not None
        try:
            next(held.render)
        except StopIteration as stop:
            rendered = stop.value
        else:
            raise WorkerError("the pipeline went on after its last step")
        job_id = held.draw.job_id
        self._drop(job_id)
        self._outbox.send(Drawn(job_id, self._pace.memory_used_mib()))
        timings = Timings(text_s=rendered.text_s, steps_s=rendered.steps_s, decode_s=rendered.decode_s)
        self._encoder.encode(job_id, rendered.pixels, timings)

    def _drop(self, job_id: str) -> bool:
        held = self._held.pop(job_id, None)
        if held is None:
            return False
        held.close()
        self._encoder.forget(job_id)
        return True


class _DeviceBroken(Exception):
    """The device is in an error state that only a new process gets out of."""


class _Pace:
    """Keeps the host from running ahead of a GPU by more than a step, or nothing would start or stop at a step."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._launched: deque[Mark] = deque()

    def step_launched(self) -> None:
        if not self._device.is_gpu:
            return
        self._launched.append(self._device.mark())
        if len(self._launched) >= STEPS_IN_FLIGHT:
            self._launched.popleft().wait()

    def memory_used_mib(self) -> float | None:
        memory = self._device.memory()
        return None if memory is None else (memory.total - memory.free) / MIB


def _read_init_image(png: bytes, job: Job) -> NDArray[np.uint8]:
    """(job.height, job.width, 3): the draft at the new size; where that has another shape, the middle of it."""
    try:
        with Image.open(io.BytesIO(png)) as picture:
            box = covering_box(*picture.size, job.width, job.height)
            resized = picture.convert("RGB").resize((job.width, job.height), Image.Resampling.LANCZOS, box=box)
    except (OSError, SyntaxError) as error:
        raise NotFoundError("the draft's picture is damaged: it cannot be read any more") from error
    return np.asarray(resized, dtype=np.uint8)


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
