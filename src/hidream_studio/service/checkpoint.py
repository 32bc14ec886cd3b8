"""What the web side reads of a checkpoint: folder, profile, tokenizer, shape, eyes. The weights are the worker's."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from pathlib import Path

from hidream_studio.errors import CheckpointError, RequestError
from hidream_studio.job.job import Job
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, ModelProfile, profile_by_id, profile_for_checkpoint
from hidream_studio.job.references import PictureProcessor, picture_tokens, reference_tokens
from hidream_studio.job.workload import ModelShape, Workload, workload
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint, open_tower
from hidream_studio.model.config import ModelConfig
from hidream_studio.model.texts import HUB_FILES, from_hub, texts_folder
from hidream_studio.service.costs import read_shape
from hidream_studio.service.prompts import PromptReader, open_prompt_reader
from hidream_studio.service.variations import planned_steps

# of Qwen3-VL, which upstream's model is made of: what is assumed of a hub checkpoint that is not here yet
LIKELY_PROCESSOR = PictureProcessor(65_536, 16_777_216, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 16, 2, 2)


@dataclass(frozen=True)
class CheckpointFacts:
    """`folder` and `reader` are None while a hub checkpoint is not here yet; the others are assumed then."""

    folder: Path | None
    profile: ModelProfile
    reader: PromptReader | None
    shape: ModelShape
    processor: PictureProcessor | None = None  # how its vision tower wants pictures; None: see `blind`
    blind: str | None = None  # why it takes no pictures as input
    parameters: int | None = None  # that are loaded; None where the folder holds no readable checkpoint
    config: ModelConfig | None = None  # of those

    def check_takes_pictures(self) -> None:
        """Raises RequestError where it takes no pictures as input, with the reason."""
        if self.blind is not None:
            raise RequestError(self.blind, field="references", limit=0)

    def check(self, job: Job) -> None:
        """Refuse what the worker would refuse. Raises RequestError, PromptError."""
        if job.references:
            self.check_takes_pictures()
        if self.reader is not None:
            try:
                self.reader.check(job, self._picture_tokens(job))
            except CheckpointError as error:
                raise RequestError(error.message, field="references") from None

    def work(self, job: Job) -> Workload:
        """How much a job computes."""
        with contextlib.suppress(RequestError, CheckpointError):  # of another model: the worker will refuse it
            tokens = self._picture_tokens(job)
            counts = None if self.reader is None else self.reader.check(job, tokens)
            return self._workload(job, counts, tokens)
        return self._workload(job, None, ())

    def _workload(self, job: Job, counts: tuple[int, int] | None, tokens: tuple[int, ...]) -> Workload:
        patches = reference_tokens(job.preparations(self.profile)) if tokens else 0
        if counts is None:
            vision = sum(tokens) + 2 * len(tokens)
            work = workload(job, vision_tokens=vision, reference_tokens=patches)
        else:
            work = workload(job, text_tokens=counts[0], negative_tokens=counts[1], reference_tokens=patches)
        return replace(work, steps=planned_steps(job))

    def _picture_tokens(self, job: Job) -> tuple[int, ...]:
        if self.processor is None or not job.references:
            return ()
        return picture_tokens(job.preparations(self.profile), self.processor)


def read_checkpoint(source: str, profile_id: str | None, tokenizer: str | None = None) -> CheckpointFacts:
    """The facts of a folder, file or hub id. Downloads nothing.

    Raises
    ------
    CheckpointError
        when the folder's own profile cannot be read.
    RequestError
        when there is no profile of that name.
    """
    folder = _local_folder(source, tokenizer)
    if folder is None:
        profile = HIDREAM_O1_IMAGE if profile_id is None else profile_by_id(profile_id)
        return CheckpointFacts(None, profile, None, read_shape(None), LIKELY_PROCESSOR)
    profile = profile_for_checkpoint(folder, profile_id)
    texts = _texts(folder, tokenizer)
    reader = None if texts is None else open_prompt_reader(texts)
    facts = CheckpointFacts(folder, profile, reader, read_shape(folder))
    weights = source if Path(source).is_file() else str(folder)
    try:
        checkpoint = open_checkpoint(weights, None if texts is None else str(texts))
    except CheckpointError as error:
        return replace(facts, blind=error.message)  # the worker will say what is wrong with it
    facts = replace(facts, parameters=_parameters(checkpoint), config=checkpoint.config)
    try:
        return replace(facts, processor=open_tower(checkpoint).processor)
    except CheckpointError as error:
        return replace(facts, blind=error.message)


def _texts(folder: Path, tokenizer: str | None) -> Path | None:
    try:
        return texts_folder(folder, tokenizer, download=False)
    except CheckpointError:
        return None  # the worker will say what is wrong with it


def _parameters(checkpoint: Checkpoint) -> int:
    """Counted from the headers of its files."""
    return sum(math.prod(tensor.shape) for tensor in checkpoint.tensors.values())


def _local_folder(source: str, tokenizer: str | None) -> Path | None:
    """The folder itself, or where a hub checkpoint was put when it was last fetched; of one file, that of its texts."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_file():
        return _texts(path, tokenizer)
    return from_hub(source, HUB_FILES, download=False)
