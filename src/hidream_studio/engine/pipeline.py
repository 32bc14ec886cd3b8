"""Job in, image out. Knows nothing of queues, HTTP or SQLite."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hidream_studio.engine.budget import Budget, Room, told
from hidream_studio.engine.devices import (
    DTYPES,
    GIB,
    Device,
    memory_errors_named,
    pick_device,
    pick_precision,
)
from hidream_studio.engine.fusing import fused_blocks
from hidream_studio.engine.loras import LoraReader, loras_key
from hidream_studio.engine.noise_ahead import NoiseAhead
from hidream_studio.engine.pictures import PictureKey, PictureReader
from hidream_studio.engine.precision import pick_option
from hidream_studio.engine.stopwatch import Stopwatch
from hidream_studio.engine.text_cache import (
    LorasKey,
    PromptBeside,
    PromptKey,
    ReadPictures,
    TextBytes,
    TextCache,
    TokenIds,
    UnderLoras,
    text_key,
)
from hidream_studio.errors import CheckpointError, NumericError, RequestError
from hidream_studio.image.references import PreparedPicture, digest
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import ModelProfile, profile_for_checkpoint
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.sizes import MIN_SIDE_PX, PATCH_PX
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.model.lora import Loras
from hidream_studio.model.patches import from_uint8, patchify, to_uint8
from hidream_studio.model.tokens import UNCONDITIONAL_PROMPT, PromptTokenizer
from hidream_studio.model.transformer import O1Transformer, TextPrefix
from hidream_studio.model.weights import empty_model, fill_model
from hidream_studio.sampler.denoise import Predict, denoise, make_solver
from hidream_studio.sampler.schedules import Schedule, make_schedule

if TYPE_CHECKING:
    from hidream_studio.settings import Precision

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
OnPhase = Callable[[str, float | None], None]  # what is being done, and its share that is done (0 to 1) where known

DEFAULT_STRENGTH = 0.5  # of keep-composition
TEXT_CACHE_BYTES = 512 * 2**20  # a token of the 8B model is 147 KB in bf16: about 3,600 tokens


@dataclass(frozen=True)
class Step:
    """One step done."""

    index: int  # 0 is the first
    total: int
    preview: Callable[[], Pixels]  # decodes this step's guess of the picture; waits for the device


@dataclass(frozen=True)
class Rendered:
    """A picture, and where its time went, in s."""

    pixels: Pixels
    text_s: float  # reading the prompts; about 0 where they were kept
    steps_s: float  # the device's time for this job alone
    decode_s: float


class Pipeline:
    """A resident model. Renders may be interleaved: none changes another's pixels."""

    def __init__(
        self,
        model: O1Transformer,
        tokenizer: PromptTokenizer,
        profile: ModelProfile,
        checkpoint: Checkpoint,
        *,
        precision: Precision,
        budget: Budget | None = None,
    ) -> None:
        self.profile = profile
        self.device = model.device
        self.runs_on = Device(model.device)
        self.precision = precision
        self.model_name = checkpoint.name
        self.fingerprint = checkpoint.fingerprint
        self.config = checkpoint.config
        mode = "eager" if model.run_blocks is None else "fused"
        kept_only = precision == "fp8" and not self.runs_on.has_fp8_products and self.runs_on.is_gpu
        products = "bf16of8" if kept_only else precision
        self.numeric_path = f"{self.runs_on.type}-{products}-{mode}-{self.runs_on.attention(precision)}"
        self._model = model
        self._room = Room(model, self.runs_on, precision)
        self.max_kept_bytes = None if budget is None else budget.kept_bytes
        self._tokenizer = tokenizer
        text_bytes = TEXT_CACHE_BYTES if self.max_kept_bytes is None else self.max_kept_bytes // 4
        self._prefixes: TextCache[PromptKey, TextPrefix] = TextCache(text_bytes)
        self.loras = LoraReader(model, fp8=precision == "fp8", max_bytes=None if budget is None else text_bytes)
        self._pictures = PictureReader(model, tokenizer, checkpoint, self.loras)
        self._noise = NoiseAhead(profile.buckets)

    @classmethod
    def load(
        cls,
        source: str,
        *,
        profile: str | None = None,
        device: str = "auto",
        precision: Precision | None = None,
        fused: bool | None = None,
        threads: int | None = None,
        vram_gib: float | None = None,
        tokenizer: str | None = None,
        on_phase: OnPhase | None = None,
    ) -> Pipeline:
        """Load a checkpoint onto a device.

        Parameters
        ----------
        source
            A folder, a file, or a hub id.
        profile
            The model profile where the checkpoint does not say.
        precision
            None: the profile's, or else what suits the device and its memory; the log says which and why.
        fused
            Whether kernels of our own run between a step's matrix products; None: wherever they can (CUDA with Triton).
        threads
            Of a CPU; None leaves torch's choice.
        vram_gib
            The most of a GPU's memory that is taken; None: what is free, less a reserve. Weights that do not fit stay
            in the host's memory, and travel in each step.
        tokenizer
            A folder or hub id, where the source has no tokenizer: one file of weights.

        Raises
        ------
        CheckpointError
            naming the file and the key.
        DeviceError
            when this machine has no such device or precision; OutOfMemoryError when the model does not fit.
        """
        tell = on_phase or (lambda name, fraction: None)
        if threads is not None:
            torch.set_num_threads(threads)
        where = pick_device(device)
        pick_precision(precision, where)  # what was asked for and cannot be is refused before anything is read
        tell("reading the checkpoint", None)
        begun_s = time.perf_counter()
        checkpoint = open_checkpoint(source, tokenizer)
        used_profile = profile_for_checkpoint(checkpoint.folder, profile)
        asked = precision or used_profile.precision
        chosen = pick_option(asked, checkpoint, where, used_profile.native_side, vram_gib, fused=fused is not False)
        reader = PromptTokenizer(checkpoint.tokenizer_folder)
        used_precision, budget = chosen.precision, chosen.budget
        assert budget is not None  # refused otherwise
        fp8 = used_precision == "fp8"
        headers_s, begun_s = time.perf_counter() - begun_s, time.perf_counter()
        if budget.tensor_bytes is not None:
            where.limit(budget.tensor_bytes)
        with memory_errors_named(where, "loading the model"):
            model = empty_model(
                checkpoint.config, where.torch, DTYPES[used_precision], fp8=fp8,
                kept_only=fp8 and not where.has_fp8_products, residency=budget.residency,
                source=checkpoint if budget.from_files else None,
            )  # fmt: skip
            with ThreadPoolExecutor(1, "kernels") as beside:  # compiling them takes no weights
                blocks = beside.submit(fused_blocks, model, fused)
                try:
                    fill_model(model, checkpoint, partial(tell, "loading weights"))
                except RuntimeError:  # where the kernels broke the device, they say so better
                    blocks.result()
                    raise
                model.run_blocks = blocks.result()
        logging.getLogger(__name__).info(
            "%s: configuration, headers and tokenizer in %.1f s, %.1f GiB of weights onto %s in %.1f s",
            checkpoint.name, headers_s, checkpoint.nbytes / GIB, where, time.perf_counter() - begun_s,
        )  # fmt: skip
        if line := told(model, where, used_precision):
            logging.getLogger(__name__).info("%s", line)
        return cls(model, reader, used_profile, checkpoint, precision=used_precision, budget=budget)

    def warm_up(self) -> None:
        """One small step without guidance and one with, so that no user waits for kernels to be chosen."""
        for guidance_scale in (1.0, 2.0):
            request = GenerationRequest(
                prompt="warm-up", seed=0, steps=1, guidance_scale=guidance_scale, recipe="full",
                width=MIN_SIDE_PX, height=MIN_SIDE_PX, snap_resolution=False,
            )  # fmt: skip
            list(self.render(pin(request, self.profile).job))

    def check_prompt(self, job: Job, references: Sequence[PreparedPicture] = ()) -> None:
        """Refuse prompts that would break the sequence, before any work.

        Raises
        ------
        PromptError
            naming the field.
        CheckpointError
            when there are references, and this checkpoint takes none.
        """
        self._token_ids(job, references)

    def prepare(self, job: Job) -> None:
        """Tell which job is drawn next, so that its noise is ready then. Changes no pixel, and may be left out."""
        self._noise.prepare(job)

    def text_bytes(self, job: Job, references: Sequence[PreparedPicture] = ()) -> TextBytes:
        """What a job's prompts, pictures and LoRAs keep while it is drawn.

        Raises PromptError, CheckpointError, LoraError.
        """
        key = loras_key(job)
        return self.loras.bytes_of(key) | self._text_bytes(job, references, key)

    def _text_bytes(self, job: Job, references: Sequence[PreparedPicture], loras: LorasKey) -> TextBytes:
        per_token = self._model.config.text_bytes_per_token(self._model.dtype.itemsize)
        if not references:
            return {text_key(_under(ids, loras)): len(ids) * per_token for ids in self._token_ids(job)}
        counts, key = self._pictures.token_counts(references), PictureKey(digest(references), loras)
        shared = len(self._pictures.first_ids(counts))
        rest = [ids[shared:] for ids in self._token_ids(job, references)]
        prompts = {text_key(_under((ids, key), loras)): len(ids) * per_token for ids in rest}
        return prompts | {text_key(key): self._pictures.bytes_of(references)}

    @property
    def kept_text_bytes(self) -> TextBytes:
        """What prompts, pictures and LoRAs keep beside those of the jobs that are drawn."""
        return self._prefixes.kept_bytes | self._pictures.kept_bytes | self.loras.kept_bytes

    def free_memory(self) -> None:
        """Let go of all that can be computed again, after memory ran out. Changes no pixel."""
        self._prefixes.clear()
        self._pictures.clear()
        self.loras.clear()
        self.runs_on.empty_cache()

    def render(
        self, job: Job, *, init_image: Pixels | None = None, references: Sequence[PreparedPicture] = ()
    ) -> Generator[Step, None, Rendered]:
        """Draw a job, one step at each `next`; the picture is the generator's return value.

        Parameters
        ----------
        init_image
            The draft at the job's size, (H, W, 3), for keep-composition: noised to `job.strength` (SDEdit, Meng et al.,
            ICLR 2022), and drawn from there. At strength 0 it is the answer.
        references
            The pictures to draw from, as `image.references.prepare` gives them for the job's size; a layout's is the
            last.

        Raises
        ------
        PromptError, CheckpointError
            at the first step, see `check_prompt`.
        LoraError
            at the first step, see `LoraReader.get`; `loras.know` is told before where the files lie.
        RequestError
            when the draft is missing, or of another size.
        OutOfMemoryError
            with what was needed and free.
        NumericError
            at the end, when the picture's numbers are none.
        """
        schedule = _schedule(job, init_image)
        what = f"drawing {job.width}×{job.height}"
        with memory_errors_named(self.runs_on, what):
            ids = self._token_ids(job, references)
            text, steps = Stopwatch(self.runs_on), Stopwatch(self.runs_on)
            with text.running():
                key = loras_key(job)
                loras = self._room.once_more(partial(self.loras.get, key))
                read = partial(self._pictures.read, references, key)
                pictures = self._room.once_more(read) if references else None
                prefixes = [self._prefixes.get(_under(_rest(branch, pictures), key), self._encode) for branch in ids]
            z = self._start(job, init_image)
            solver = make_solver(job.sampler, schedule, noise_scale=job.noise_scale, seed=job.seed, like=z)
            states = denoise(self._predict(job, prefixes, pictures, loras), z, schedule, solver, job.guidance_scale)
        rows, cols = job.height // PATCH_PX, job.width // PATCH_PX
        if schedule.steps == 0:
            yield Step(0, 1, partial(to_uint8, z, rows, cols))
        for _ in range(schedule.steps):
            with memory_errors_named(self.runs_on, what), steps.running():
                state = next(states)
            z = state.z
            yield Step(state.index, state.total, partial(to_uint8, state.x0, rows, cols))
        text_s, steps_s = text.seconds(), steps.seconds()  # waits for the device
        start_s = time.perf_counter()
        with memory_errors_named(self.runs_on, what):
            unreal = z.isfinite().logical_not().sum()  # read with the picture: in the loop, each step would wait for it
            pixels = to_uint8(z, rows, cols)
        self._check_numbers(job, int(unreal) / z.numel())
        return Rendered(pixels, text_s, steps_s, time.perf_counter() - start_s)

    def _check_numbers(self, job: Job, unreal: float) -> None:
        """A picture is made of numbers; this share of its values are none."""
        if unreal:
            raise NumericError(
                f"drawing {job.width}×{job.height} in {self.precision} gave no picture: {unreal:.2%} of its values "
                "are NaN or infinite; the checkpoint's weights may be damaged, or need --precision bf16 or fp32"
            )

    def _token_ids(self, job: Job, references: Sequence[PreparedPicture] = ()) -> list[TokenIds]:
        """Of the prompt, and of the unconditional branch where a step needs one; without the tms token at the end.

        Both begin with the same pictures.
        """
        counts = self._pictures.token_counts(references) if references else ()
        encode = partial(self._tokenizer.encode, picture_tokens=counts)
        ids = [encode(job.prompt, field="prompt")]
        if job.cfg:
            ids.append(encode(job.negative_prompt or UNCONDITIONAL_PROMPT, field="negative_prompt"))
        elif job.negative_prompt:  # unused without guidance, but wrong is wrong
            encode(job.negative_prompt, field="negative_prompt")
        return [tuple(branch[:-1]) for branch in ids]

    @torch.inference_mode()
    def _encode(self, key: PromptKey) -> TextPrefix:
        prompt, loras = (key.prompt, self.loras.get(key.loras)) if isinstance(key, UnderLoras) else (key, None)
        ids, before = (prompt.ids, prompt.pictures.prefix) if isinstance(prompt, PromptBeside) else (prompt, None)
        tokens = torch.tensor([ids], device=self.device)
        return self._room.once_more(partial(self._model.encode_text, tokens, before, loras))

    @torch.inference_mode()
    def _start(self, job: Job, init_image: Pixels | None) -> Tensor:  # (1, N, 3072) float32
        z = patchify(self._noise.take(job)).to(self.device)
        if init_image is None:
            return z
        return torch.lerp(from_uint8(init_image).to(self.device), z, _strength(job))

    @torch.inference_mode()
    def _predict(
        self, job: Job, prefixes: Sequence[TextPrefix], pictures: ReadPictures | None, loras: Loras | None
    ) -> Predict:
        """A step's branches share one pass; two jobs never do: equal jobs give equal pixels, whatever else runs."""
        ends = torch.tensor([prefix.next_position for prefix in prefixes], device=self.device)
        patches, grids = (None, ()) if pictures is None else (pictures.patches, pictures.grids)
        rotary = self._model.step_rotary(ends, job.height // PATCH_PX, job.width // PATCH_PX, grids)

        def predict(z: Tensor, t: Tensor) -> Sequence[Tensor]:
            forward = partial(self._model.forward_branches, z, t, prefixes, rotary, patches, loras)
            return self._room.once_more(forward).chunk(len(prefixes))

        return predict


def _under(prompt: Any, loras: LorasKey) -> Any:
    """The key of a prompt, or of what stands for one, with these LoRAs; without any it is the prompt."""
    return UnderLoras(prompt, loras) if loras else prompt


def _rest(ids: TokenIds, pictures: ReadPictures | None) -> TokenIds | PromptBeside:
    """What is still to be read of a prompt, whose first ids are the pictures'."""
    if pictures is None:
        return ids
    if ids[: len(pictures.ids)] != pictures.ids:
        raise CheckpointError("this checkpoint's chat template writes something of the prompt before its pictures")
    return PromptBeside(ids[len(pictures.ids) :], pictures)


def _schedule(job: Job, init_image: Pixels | None) -> Schedule:
    if init_image is None:
        if job.finish_mode == "keep-composition":
            raise RequestError("keep-composition needs the draft's picture", field="finish_mode")
        return make_schedule(job.recipe, job.steps, job.shift)
    if init_image.shape != (job.height, job.width, 3):
        raise RequestError(
            f"the draft's picture is {init_image.shape[1]}×{init_image.shape[0]} px; it must be "
            f"{job.width}×{job.height}", field="init_image",
        )  # fmt: skip
    return make_schedule(job.recipe, job.steps, job.shift, start_sigma=_strength(job))


def _strength(job: Job) -> float:
    return DEFAULT_STRENGTH if job.strength is None else job.strength
