"""What requests become on the checkpoint that is served, and what they take. Knows no queue and no library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hidream_studio.engine.messages import Ready
from hidream_studio.errors import ConflictError, naming
from hidream_studio.job.estimate import Prediction
from hidream_studio.job.job import Job, PinnedJob, default_lane, pin
from hidream_studio.job.profiles import ModelProfile
from hidream_studio.job.record import JobError, JobRecord, Timings
from hidream_studio.job.request import FinishRequest, GenerationRequest, JobRequest, Lane
from hidream_studio.job.validation import parse_request
from hidream_studio.service.checkpoint import CheckpointFacts, read_checkpoint
from hidream_studio.service.costs import Costs
from hidream_studio.service.variations import plan_finish, planned_steps, smaller_job
from hidream_studio.service.views import Estimate
from hidream_studio.settings import Settings


class Resolver:
    """Pins requests, checks their prompts, prices them. What it pins can be drawn."""

    def __init__(self, settings: Settings, samples: Iterable[Mapping[str, Any]]) -> None:
        """Raises CheckpointError when the checkpoint's own profile cannot be read."""
        self._settings = settings
        self.checkpoint: CheckpointFacts = read_checkpoint(settings.checkpoint, settings.profile)
        self._costs = Costs(settings, self.checkpoint.shape, samples, self.checkpoint.profile.precision)

    @property
    def profile(self) -> ModelProfile:
        return self.checkpoint.profile

    def pin(self, request: GenerationRequest, lane: Lane | None = None) -> PinnedJob:
        """A `JobRequest`'s own lane counts where `lane` is None. Raises RequestError, PromptError."""
        if lane is None and isinstance(request, JobRequest):
            lane = request.lane
        return self._checked(pin(request, self.profile, lane=lane))

    def pin_all(self, requests: Iterable[GenerationRequest], *, numbered: bool) -> list[PinnedJob]:
        """Of a list; `numbered`: errors call the second's width "1.width". Raises as `pin`."""
        jobs = []
        for index, request in enumerate(requests):
            with naming(f"{index}.{{}}".format if numbered else str):
                jobs.append(self.pin(request))
        return jobs

    def finish(self, image_id: str, draft: Job, request: FinishRequest) -> PinnedJob:
        """The draft's finished version. Raises RequestError, PromptError."""
        return self._checked(plan_finish(image_id, draft, request, self.profile))

    def smaller(self, job: Job) -> PinnedJob:
        """The same with half as many pixels. Raises RequestError when it cannot be smaller."""
        smaller, changed = smaller_job(job)
        return PinnedJob(smaller, default_lane(smaller, self.profile), changed)

    def again(self, record: JobRecord) -> PinnedJob:
        """What was drawn or asked before, to be drawn once more.

        Raises
        ------
        ConflictError
            when it finishes a picture of another model.
        RequestError, PromptError
            when this model cannot draw what was asked of another one.
        """
        if self.unfit(record) is None:
            return PinnedJob(record.job, record.lane, record.adjustments)
        if "finish" in record.request:
            raise ConflictError(f"job {record.id} finishes a picture of {record.job.profile}, which is not loaded")
        asked = {name: value for name, value in record.request.items() if name in GenerationRequest.model_fields}
        return self.pin(parse_request(GenerationRequest, {**asked, "seed": record.job.seed}), record.lane)

    def unfit(self, record: JobRecord) -> JobError | None:
        """Why a job that an earlier server took cannot be drawn by this one as it was asked."""
        asked_of = record.job.profile
        if self.checkpoint.folder is None or asked_of == self.profile.id:
            return None
        message = f"it was asked of {asked_of}, but {self.profile.id} is loaded now; try again to draw it with that"
        return JobError(ConflictError.code, message)

    def predict(self, job: Job, *, text_kept: bool = False) -> Prediction:
        """Seconds of work; `text_kept` where a job with its prompt goes right before it."""
        return self._costs.predict(job, self.checkpoint.reader, text_kept=text_kept)

    def estimate(self, pinned: PinnedJob, *, drain_s: float) -> Estimate:
        """What it would cost and become, behind `drain_s` of other work."""
        job = pinned.job
        predicted = self.predict(job)
        return Estimate(
            seconds=predicted.seconds, low_s=predicted.low_s, high_s=predicted.high_s, basis=predicted.basis,
            adjustments=pinned.adjustments, width=job.width, height=job.height, requested_width=job.requested_width,
            requested_height=job.requested_height, steps=planned_steps(job), guidance_scale=job.guidance_scale,
            lane=pinned.lane, drain_s=drain_s,
        )  # fmt: skip

    def learn(self, job: Job, timings: Timings) -> dict[str, Any]:
        """Learn from a finished job, soon. Returns the sample, to be kept. Called on the event loop."""
        return self._costs.learn(job, self.checkpoint.reader, timings)

    def worker_ready(self, facts: Ready) -> None:
        """From now on predict for its device; a hub checkpoint that was not here yet has been fetched."""
        self._costs.worker_ready(facts)
        if self.checkpoint.folder is None:
            self.checkpoint = read_checkpoint(self._settings.checkpoint, self._settings.profile)
            self._costs.shape_known(self.checkpoint.shape)

    def close(self) -> None:
        """Learn no more."""
        self._costs.close()

    def _checked(self, pinned: PinnedJob) -> PinnedJob:
        if self.checkpoint.reader is not None:
            self.checkpoint.reader.check(pinned.job)
        return pinned
