"""What requests become on the checkpoint that is served, and what they take. Knows no queue and no library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hidream_studio.engine.messages import Ready
from hidream_studio.errors import ConflictError, RequestError, naming
from hidream_studio.job.estimate import Prediction
from hidream_studio.job.job import Job, PinnedJob, default_lane, pin
from hidream_studio.job.profiles import ModelProfile
from hidream_studio.job.record import JobError, JobRecord, Timings
from hidream_studio.job.request import FinishRequest, GenerationRequest, JobRequest, Lane, SheetRequest
from hidream_studio.job.stored import not_known
from hidream_studio.job.validation import parse_request
from hidream_studio.job.workload import lora_share
from hidream_studio.library.records import ImageRecord
from hidream_studio.service.checkpoint import CheckpointFacts, read_checkpoint
from hidream_studio.service.costs import Costs
from hidream_studio.service.loras import LoraShelf
from hidream_studio.service.references import FindUpload, looked_up
from hidream_studio.service.variations import axis_requests, plan_finish, planned_steps, smaller_job
from hidream_studio.service.views import Estimate, SheetEstimate
from hidream_studio.settings import Settings


class Resolver:
    """Pins requests, checks their prompts, prices them. What it pins can be drawn."""

    def __init__(self, settings: Settings, samples: Iterable[Mapping[str, Any]], find_upload: FindUpload) -> None:
        """Raises CheckpointError when the checkpoint's own profile cannot be read."""
        self._settings = settings
        self._find_upload = find_upload
        self.loras = LoraShelf(settings.loras_folder, lambda: self.checkpoint.config)
        self.checkpoint: CheckpointFacts = read_checkpoint(settings.checkpoint, settings.profile, settings.tokenizer)
        self._costs = Costs(settings, self.checkpoint.shape, samples, self.checkpoint.profile.precision)

    @property
    def profile(self) -> ModelProfile:
        return self.checkpoint.profile

    def pin(self, request: GenerationRequest, lane: Lane | None = None) -> PinnedJob:
        """A `JobRequest`'s own lane counts where `lane` is None; its references are uploads. Reads no disk.

        Raises RequestError, PromptError.
        """
        if lane is None and isinstance(request, JobRequest):
            lane = request.lane
        loras, renamed = self.loras.found(request.loras or ())
        if loras:
            request = request.model_copy(update={"loras": loras})
        references, converted = looked_up(request, self._find_upload)
        pinned = self._checked(pin(request, self.profile, lane=lane, references=references))
        return replace(pinned, adjustments=pinned.adjustments + converted + renamed)

    def check_takes_pictures(self, request: GenerationRequest) -> None:
        """Before any is stored. Raises RequestError where there are some, and the model takes none."""
        if request.references is not None:
            self.checkpoint.check_takes_pictures()

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

    def finish_of(self, draft: ImageRecord, request: FinishRequest) -> PinnedJob:
        """The same for a picture of the library; what of its settings is not known here is told again.

        Raises ConflictError when they are not understood, and as `finish`.
        """
        _check_readable(f"picture {draft.id}", draft.unreadable)
        pinned = self.finish(draft.id, draft.job, request)
        return replace(pinned, adjustments=pinned.adjustments + not_known(draft.adjustments))

    def smaller(self, job: Job, draft: Job | None = None) -> PinnedJob:
        """The same with half as many pixels, of this draft. Raises RequestError when it cannot be smaller."""
        smaller, changed = smaller_job(job, draft)
        if smaller.references:
            smaller.preparations(self.profile)  # very elongated ones may have no room left
        return PinnedJob(smaller, default_lane(smaller, self.profile), changed)

    def again(self, record: JobRecord) -> PinnedJob:
        """What was drawn or asked before, to be drawn once more.

        Raises
        ------
        ConflictError
            when it finishes a picture of another model, or its settings are not understood.
        RequestError, PromptError
            when this model cannot draw what was asked of another one.
        """
        _check_readable(f"job {record.id}", record.unreadable)
        if self.unfit(record) is None:
            return PinnedJob(record.job, record.lane, record.adjustments)
        if "finish" in record.request:
            raise ConflictError(f"job {record.id} finishes a picture of {record.job.profile}, which is not loaded")
        asked = {name: value for name, value in record.request.items() if name in GenerationRequest.model_fields}
        return self.pin(parse_request(GenerationRequest, {**asked, "seed": record.job.seed}), record.lane)

    def unfit(self, record: JobRecord) -> JobError | None:
        """Why a job that an earlier server took cannot be drawn by this one as it was asked."""
        asked_of = record.job.profile
        if self.checkpoint.folder is None:
            return None
        if asked_of == self.profile.id:
            blind = self.checkpoint.blind if record.job.references else None
            return None if blind is None else JobError(RequestError.code, blind)
        message = f"it was asked of {asked_of}, but {self.profile.id} is loaded now; try again to draw it with that"
        return JobError(ConflictError.code, message)

    def predict(self, job: Job, *, text_kept: bool = False) -> Prediction:
        """Seconds of work; `text_kept` where a job with its prompt goes right before it."""
        predicted = self._costs.predict(self.checkpoint.work(job), text_kept=text_kept)
        share = lora_share(self.checkpoint.shape, self.loras.values(job.loras)) if job.loras else 0.0
        return predicted.longer(1 + share) if share else predicted

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

    def estimate_sheet(self, sheet: SheetRequest, *, pictures: int, drain_s: float) -> SheetEstimate:
        """What all of the sheet would cost, summed over its lists: none of its jobs is made. Raises as `pin`.

        Of guidance only counts whether a step takes one forward or two, and the time grows evenly with the steps.
        """
        lists = axis_requests(sheet)
        sizes = [self.pin(request) for request in lists["sizes"]]
        steps, guidances = (
            [sizes[0], *(self.pin(request) for request in lists[name][1:])] for name in ("steps", "guidance_scale")
        )
        steps_taken = [pinned.job.steps for pinned in steps]
        branches = Counter(pinned.job.cfg for pinned in guidances)
        alike = {pinned.job.cfg: pinned.job.guidance_scale for pinned in guidances}
        seconds = 0.0
        for pinned in sizes:
            for cfg, count in branches.items():
                job = replace(pinned.job, guidance_scale=alike[cfg])
                predicted = self.predict(job)
                more_steps = sum(steps_taken) - len(steps_taken) * job.steps
                seconds += count * (len(steps_taken) * predicted.seconds + more_steps * predicted.step_s)
        settings = len(sizes) * len(steps) * len(guidances)
        seconds *= self._more_with(sheet)
        return SheetEstimate(
            pictures=pictures, seconds=seconds * pictures / settings,
            sizes=tuple(self.estimate(pinned, drain_s=drain_s) for pinned in sizes),
        )  # fmt: skip

    def learn(self, job: Job, timings: Timings) -> dict[str, Any]:
        """Learn from a finished job, soon. Returns the sample, to be kept. Called on the event loop."""
        return self._costs.learn(self.checkpoint.work(job), timings)

    def worker_ready(self, facts: Ready) -> None:
        """From now on predict for its device; a hub checkpoint that was not here yet has been fetched."""
        self._costs.worker_ready(facts)
        if self.checkpoint.folder is None:
            self.checkpoint = read_checkpoint(
                self._settings.checkpoint, self._settings.profile, self._settings.tokenizer
            )
            self._costs.shape_known(self.checkpoint.shape)

    def close(self) -> None:
        """Learn no more, and read no LoRAs that nobody waits for."""
        self._costs.close()
        self.loras.close()

    def _more_with(self, sheet: SheetRequest) -> float:
        """How much longer the pictures of a sheet take with its mixes of LoRAs than with its first one."""
        mixes = [self.pin(sheet.request.model_copy(update={"loras": loras})) for loras in sheet.loras or ()]
        if not mixes:
            return 1.0
        seconds = [self.predict(pinned.job).seconds for pinned in mixes]
        return sum(seconds) / len(seconds) / self.predict(self.pin(sheet.request).job).seconds

    def _checked(self, pinned: PinnedJob) -> PinnedJob:
        self.checkpoint.check(pinned.job)
        return pinned


def _check_readable(what: str, unreadable: str | None) -> None:
    if unreadable is not None:
        raise ConflictError(f"nothing can be made of {what}: {unreadable}")
