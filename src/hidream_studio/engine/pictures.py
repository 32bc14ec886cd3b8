"""Pictures as input, read once: by the vision tower, which is loaded when the first one comes, and by the decoder.

What is left of them is kept for all prompts, branches and seeds. Knows nothing of steps or jobs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from hidream_studio.engine.devices import GIB, Device, check_memory
from hidream_studio.engine.loras import LoraReader
from hidream_studio.engine.text_cache import LorasKey, ReadPictures, TextBytes, TextCache, TokenIds
from hidream_studio.errors import CheckpointError
from hidream_studio.image.references import PreparedPicture, digest
from hidream_studio.job.sizes import PATCH_PX
from hidream_studio.model.checkpoint import Checkpoint, StoredTower, open_tower
from hidream_studio.model.patches import from_uint8
from hidream_studio.model.tokens import UNCONDITIONAL_PROMPT, PromptTokenizer
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.vision import Grid, VisionTokens, VisionTower
from hidream_studio.model.vision_input import vision_patches
from hidream_studio.model.weights import load_tower, tower_bytes

PICTURE_CACHE_BYTES = 512 * 2**20  # an edit at 2048² keeps 55 MB, ten subjects 120 MB
TOWER_STAYS_BYTES = 4 * GIB  # free on the device beside it; with less it goes back to the host after each reading


@dataclass(frozen=True)
class PictureKey:
    """Pictures by a digest of their pixels, which it does not hold: they would be kept with what was read of them."""

    digest: str
    loras: LorasKey = ()  # beside the weights while they are read


class PictureReader:
    """The vision tower of one checkpoint, and what it has read."""

    def __init__(
        self, model: O1Transformer, tokenizer: PromptTokenizer, checkpoint: Checkpoint, loras: LoraReader
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._checkpoint = checkpoint
        self._loras = loras
        self._device = Device(model.device)
        self._tower: VisionTower | None = None
        self._kept: TextCache[PictureKey, ReadPictures] = TextCache(PICTURE_CACHE_BYTES)

    @cached_property
    def _stored(self) -> StoredTower:
        return open_tower(self._checkpoint)

    def read(self, pictures: Sequence[PreparedPicture], loras: LorasKey = ()) -> ReadPictures:
        """What the model needs of these pictures, in this order, with these LoRAs.

        Raises
        ------
        CheckpointError
            when this checkpoint takes no pictures, or its vision tower is no good.
        OutOfMemoryError
            when the tower does not fit.
        LoraError
            when a LoRA does not fit the tower.
        """
        return self._kept.get(PictureKey(digest(pictures), loras), lambda key: self._read(key, pictures))

    def token_counts(self, pictures: Sequence[PreparedPicture]) -> tuple[int, ...]:
        """How many tokens each picture has before the prompt. Raises CheckpointError."""
        grids = [self._stored.processor.grid(picture.vision.shape[1::-1]) for picture in pictures]
        return tuple(rows * cols for rows, cols in grids)

    def first_ids(self, counts: Sequence[int]) -> TokenIds:
        """Of every prompt beside pictures of so many tokens, up to the end of the last one. Raises CheckpointError."""
        ids = self._tokenizer.encode(UNCONDITIONAL_PROMPT, picture_tokens=counts)
        end = self._tokenizer.picture_end
        if end not in ids:
            raise CheckpointError(f"{self._checkpoint.name}: its chat template does not end a picture")
        return tuple(ids[: len(ids) - ids[::-1].index(end)])

    def bytes_of(self, pictures: Sequence[PreparedPicture]) -> int:
        """What these pictures keep while something is drawn from them. Raises CheckpointError."""
        config, value_bytes = self._model.config, self._model.dtype.itemsize
        patches = sum(rows * cols for rows, cols in _grids(pictures))
        text = len(self.first_ids(self.token_counts(pictures)))
        return text * config.text_bytes_per_token(value_bytes) + patches * config.hidden_size * value_bytes

    @property
    def kept_bytes(self) -> TextBytes:
        return self._kept.kept_bytes

    @property
    def tower_bytes(self) -> int:
        """Of the tower on the model's own device: none before the first picture."""
        on_device = self._tower is not None and self._tower.device == self._model.device
        return self._tower.nbytes if self._tower is not None and on_device else 0

    def clear(self) -> None:
        """Let go of all pictures, and of the tower's place on a GPU."""
        self._kept.clear()
        self._to_host()

    @torch.inference_mode()
    def _read(self, key: PictureKey, pictures: Sequence[PreparedPicture]) -> ReadPictures:
        counts = self.token_counts(pictures)
        ids = self.first_ids(counts)
        loras = self._loras.get(key.loras)
        prefix = self._model.encode_pictures(ids, self._tokenizer.picture, self._see(pictures, key.loras), loras)
        pixels = [from_uint8(picture.pixels).to(self._model.device) for picture in pictures]
        patches = self._model.embed_patches(torch.cat(pixels, dim=1), loras)
        return ReadPictures(key, ids, counts, prefix, patches, _grids(pictures))

    def _see(self, pictures: Sequence[PreparedPicture], loras: LorasKey) -> VisionTokens:
        rows, grids = vision_patches([picture.vision for picture in pictures], self._stored.processor)
        changes = self._loras.vision(loras, self._stored.config)
        tower = self._on_device()
        seen: VisionTokens = tower(rows, grids, changes)
        if self._device.memory_for_tensors().free < TOWER_STAYS_BYTES:
            self._to_host()
        return seen

    @torch.inference_mode(False)  # parameters that were moved inside it could not be moved again
    def _to_host(self) -> None:
        """Where a tower on the device's own memory gives that back; it needs no second reading of its files."""
        if self._device.is_gpu and self._tower is not None:
            self._tower.to("cpu")

    @torch.inference_mode(False)
    def _on_device(self) -> VisionTower:
        if self._tower is None or self._tower.device != self._model.device:
            nbytes = tower_bytes(self._stored.config, self._model.dtype)
            check_memory(nbytes, self._device, "the vision tower")
        if self._tower is None:
            begun_s = time.perf_counter()
            self._tower = load_tower(self._stored, self._model.device, self._model.dtype)
            logging.getLogger(__name__).info(
                "the vision tower, %.1f GiB, onto %s in %.1f s", self._tower.nbytes / GIB, self._device,
                time.perf_counter() - begun_s,
            )  # fmt: skip
        return self._tower.to(self._model.device)


def _grids(pictures: Sequence[PreparedPicture]) -> tuple[Grid, ...]:
    """Rows and columns of each picture's patches."""
    shapes = [picture.pixels.shape for picture in pictures]
    return tuple((height // PATCH_PX, width // PATCH_PX) for height, width, _ in shapes)
