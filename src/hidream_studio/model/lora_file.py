"""A LoRA file, read as far as its header: which linears it changes, in any trainer's spelling. Loads no tensors.

Trainers name one and the same matrix in different ways; which way a file has is told by its keys, never by its name.
What cannot be applied to this model is refused, never left out: a LoRA that is half applied is worse than none.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hidream_studio.errors import LoraError
from hidream_studio.model.checkpoint import MAX_HEADER_BYTES, StoredTensor
from hidream_studio.model.config import ModelConfig
from hidream_studio.model.layout import slots

MAX_FILE_BYTES = 4 * 2**30  # rank 224 on all linears of the 8B model is 2.3 GB in bf16
MAX_RANK = 1024
KEYS_NAMED = 3  # in an error
TRIGGERS_NAMED = 3
BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8}  # by safetensors' name

PAIR = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)(?:\.(?!bias$)[\w-]+)?\.weight"
)
DOWN = frozenset({"lora_A", "lora_down", "lora.down"})
ALPHA = re.compile(r"(?P<module>.+)\.alpha")
# what is known and not done here; refused by its name
OTHER_KINDS = {
    "DoRA": re.compile(r".+\.(dora_scale|lora_magnitude_vector.*|magnitude_vector.*|lora_magnitude.*)"),
    "LoKr": re.compile(r".+\.lokr_(w1|w2|w1_a|w1_b|w2_a|w2_b|t2)"),
    "LoHa": re.compile(r".+\.hada_(w1_a|w1_b|w2_a|w2_b|t1|t2)"),
    "OFT": re.compile(r".+\.(oft_blocks|oft_diag|oft_R.*|boft_.*)"),
    "GLoRA": re.compile(r".+\.(a1|a2|b1|b2)\.weight"),
    "LoCon with a middle convolution": re.compile(r".+\.lora_mid\.weight"),
}
NOT_APPLIED = re.compile(r".+\.(diff|diff_b|bias|lora_(?:B|up|A|down)(?:\.[\w-]+)?\.bias|w_norm|b_norm)")
WRAPPERS = ("base_model.model.", "diffusion_model.", "transformer.", "model.")  # PEFT, ai-toolkit, diffusers, upstream
FLAT_WRAPPERS = re.compile(r"^(?:lora_unet|lora_transformer|lora_te|lycoris)_(?:model_|diffusion_model_)?")


@dataclass(frozen=True)
class LoraPair:
    """One linear's change: `y += strength * alpha / rank * up (down x)`."""

    module: str  # upstream's name without "model.", e.g. "language_model.layers.0.self_attn.q_proj"
    down: StoredTensor  # (rank, in)
    up: StoredTensor  # (out, rank)
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]


@dataclass(frozen=True)
class LoraFile:
    """What a file holds, and what its metadata say of it; absent metadata are empty."""

    path: Path
    pairs: tuple[LoraPair, ...]  # of the decoder and what is around it
    vision_pairs: tuple[LoraPair, ...]  # of the vision tower, applied where that is used
    title: str
    base: str
    triggers: tuple[str, ...]
    thumbnail: str  # a data URL
    remarks: tuple[str, ...]  # what is in the file and is not applied


def read_lora(path: Path, config: ModelConfig) -> LoraFile:
    """The LoRA in a safetensors file, checked against a model of this shape.

    Raises
    ------
    LoraError
        one sentence: no safetensors file, cut short, too large, of another kind or another model, or a pair that lacks
        its half or has the wrong shape; names up to three keys.
    """
    header, metadata = _read(path)
    for kind, pattern in OTHER_KINDS.items():
        if found := [key for key in header if pattern.fullmatch(key)]:
            raise LoraError(f"{path.name} is a {kind}, which is not supported; only plain LoRAs are: {_some(found)}")
    downs, ups, alphas, ignored, strange = _sorted_by_role(header)
    if not downs and not ups:
        raise LoraError(f"{path.name} holds no LoRA: none of its {len(header)} keys is one's: {_some(list(header))}")
    names = _Names(config)
    unknown = [key for module, key in _keys_of(downs | ups) if names.of(module) is None]
    if len(unknown) == len(downs | ups):
        raise LoraError(f"{path.name} is a LoRA of another model: this one has nothing called {_some(unknown)}")
    if unknown or strange:
        raise LoraError(
            f"{path.name} has {len(unknown) + len(strange)} keys that fit nothing in this model: "
            f"{_some(unknown + strange)}"
        )
    found_pairs = [_pair(path, names, module, downs.get(module), ups.get(module), alphas) for module in downs | ups]
    pairs = tuple(sorted(found_pairs, key=lambda pair: pair.module))
    twice = {pair.module for pair, next_ in itertools.pairwise(pairs) if pair.module == next_.module}
    if twice:
        raise LoraError(f"{path.name} changes {_some(sorted(twice))} twice, under two names")
    remarks = (f"{len(ignored)} keys are not applied (biases, norms): {_some(ignored)}",) if ignored else ()
    return LoraFile(
        path,
        tuple(pair for pair in pairs if not pair.module.startswith("visual.")),
        tuple(pair for pair in pairs if pair.module.startswith("visual.")),
        title=_first(metadata, "modelspec.title", "ss_output_name", "name") or path.stem,
        base=_first(metadata, "modelspec.architecture", "ss_base_model_version", "base_model", "ss_sd_model_name"),
        triggers=_triggers(metadata),
        thumbnail=_thumbnail(metadata),
        remarks=remarks,
    )


def _read(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Tensors and metadata of the header (8 bytes of length, then JSON: the format's documentation)."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise LoraError(f"{path.name} has {size:,} bytes; a LoRA may have {MAX_FILE_BYTES:,}", limit=MAX_FILE_BYTES)
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                raise LoraError(f"{path.name} is no safetensors file, or is cut short inside its header")
            values = json.loads(file.read(length))
        told = values.pop("__metadata__", {})
        tensors = {key: _stored(path, entry, 8 + length) for key, entry in values.items()}
    except OSError as error:
        raise LoraError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise LoraError(f"{path.name} is no safetensors file: its header cannot be read") from error
    end = max((tensor.offset + tensor.nbytes for tensor in tensors.values()), default=8 + length)
    if end > size:
        raise LoraError(f"{path.name} is cut short: it has {size:,} bytes, its header promises {end:,}")
    return tensors, {str(key): str(value) for key, value in told.items()} if isinstance(told, dict) else {}


def _stored(path: Path, entry: Mapping[str, Any], data_start: int) -> StoredTensor:
    first, last = (int(offset) for offset in entry["data_offsets"])
    shape = tuple(int(side) for side in entry["shape"])
    dtype = str(entry["dtype"])
    if not 0 <= first <= last or (dtype in BYTES and last - first != BYTES[dtype] * math.prod(shape)):
        raise ValueError("offsets")
    return StoredTensor(path, dtype, shape, data_start + first, last - first)


def _sorted_by_role(
    header: Mapping[str, StoredTensor],
) -> tuple[
    dict[str, tuple[str, StoredTensor]],
    dict[str, tuple[str, StoredTensor]],
    dict[str, StoredTensor],
    list[str],
    list[str],
]:
    """By the module's name as the file spells it: lower halves, upper halves, alphas; keys left out; keys unknown."""
    downs: dict[str, tuple[str, StoredTensor]] = {}
    ups: dict[str, tuple[str, StoredTensor]] = {}
    alphas: dict[str, StoredTensor] = {}
    ignored: list[str] = []
    strange: list[str] = []
    for key, tensor in header.items():
        if found := PAIR.fullmatch(key):
            (downs if found["part"] in DOWN else ups)[found["module"]] = key, tensor
        elif found := ALPHA.fullmatch(key):
            alphas[found["module"]] = tensor
        else:
            (ignored if NOT_APPLIED.fullmatch(key) else strange).append(key)
    return downs, ups, alphas, ignored, strange


class _Names:
    """Every spelling of a matrix, to upstream's name. Flattened names are looked up: `_` stands inside names, too."""

    def __init__(self, config: ModelConfig) -> None:
        linears = (slot for slot in slots(config) if slot.key.endswith(".weight") and len(slot.shape) == 2)
        self.shapes = {_bare(slot.key.removesuffix(".weight")): slot.shape for slot in linears}
        self.shapes.pop("language_model.embed_tokens", None)  # a table, not a product
        self._flat = {name.replace(".", "_"): name for name in self.shapes}

    def of(self, spelled: str) -> str | None:
        """Upstream's name of the module that a file calls `spelled`; None: this model has none such."""
        name = _bare(spelled)
        for candidate in (name, f"language_model.{name}"):
            if candidate in self.shapes or candidate.startswith("visual."):
                return candidate
        flat = FLAT_WRAPPERS.sub("", spelled)
        if flat.startswith("visual_"):
            return _unflattened_vision(flat)
        return self._flat.get(flat) or self._flat.get(f"language_model_{flat}")


# the vision tower's linears, upstream's Qwen3VLVisionModel; their numbers stand where the words leave off
VISION_FLAT = re.compile(
    r"visual_(?:(blocks)_(\d+)_(?:(attn)_(qkv|proj)|(mlp)_(linear_fc[12]))|(merger)_(linear_fc[12])"
    r"|(deepstack_merger_list)_(\d+)_(linear_fc[12]))"
)


def _unflattened_vision(flat: str) -> str | None:
    found = VISION_FLAT.fullmatch(flat)
    return None if found is None else ".".join(("visual", *(part for part in found.groups() if part is not None)))


def _bare(name: str) -> str:
    """Without what wrappers put before the model's own names."""
    while wrapper := next((wrapper for wrapper in WRAPPERS if name.startswith(wrapper)), None):
        name = name.removeprefix(wrapper)
    return name


def _pair(
    path: Path,
    names: _Names,
    spelled: str,
    down: tuple[str, StoredTensor] | None,
    up: tuple[str, StoredTensor] | None,
    alphas: Mapping[str, StoredTensor],
) -> LoraPair:
    module = names.of(spelled)
    assert module is not None
    if down is None or up is None:
        raise LoraError(f"{path.name} has only one half of the pair {(down or up or ('',))[0]}")
    (down_key, lower), (up_key, upper) = down, up
    for key, tensor in (down, up):
        if tensor.dtype not in BYTES or len(tensor.shape) != 2 or 0 in tensor.shape:
            raise LoraError(
                f"{path.name}: {key} is {tensor.dtype} of shape {list(tensor.shape)}; "
                f"a matrix of {', '.join(BYTES)} is expected"
            )
    rank = lower.shape[0]
    if upper.shape[1] != rank or not 1 <= rank <= MAX_RANK:
        raise LoraError(
            f"{path.name}: {down_key} has rank {rank}, {up_key} has {upper.shape[1]}; "
            f"they must be equal, 1 to {MAX_RANK}", limit=MAX_RANK,
        )  # fmt: skip
    expected = names.shapes.get(module)
    if expected is not None and (upper.shape[0], lower.shape[1]) != expected:
        raise LoraError(
            f"{path.name} was made for a model of another size: {spelled} takes {lower.shape[1]} values and gives "
            f"{upper.shape[0]}, here {expected[1]} and {expected[0]}"
        )
    return LoraPair(module, lower, upper, _alpha(path, spelled, alphas.get(spelled), rank))


def _alpha(path: Path, spelled: str, stored: StoredTensor | None, rank: int) -> float:
    """Absent, or 0 (as kohya's networks/lora.py has it): the rank, so that nothing is scaled."""
    if stored is None:
        return float(rank)
    if math.prod(stored.shape) != 1 or stored.dtype not in BYTES:
        raise LoraError(f"{path.name}: {spelled}.alpha is {stored.dtype} of shape {list(stored.shape)}, not one number")
    try:
        with stored.file.open("rb") as file:
            file.seek(stored.offset)
            raw = file.read(stored.nbytes)
    except OSError as error:
        raise LoraError(f"{path.name} cannot be read: {error.strerror or error}") from error
    if len(raw) != stored.nbytes:
        raise LoraError(f"{path.name} was cut short while it was read")
    if stored.dtype == "BF16":  # the upper half of a float32
        alpha = struct.unpack("<f", b"\0\0" + raw)[0]
    else:
        alpha = struct.unpack({"F16": "<e", "F32": "<f", "F64": "<d"}[stored.dtype], raw)[0]
    if not math.isfinite(alpha):
        raise LoraError(f"{path.name}: {spelled}.alpha is {alpha}, not a finite number")
    return float(alpha) or float(rank)


def _keys_of(halves: Mapping[str, tuple[str, StoredTensor]]) -> list[tuple[str, str]]:
    return [(module, key) for module, (key, _) in halves.items()]


def _first(metadata: Mapping[str, str], *names: str) -> str:
    return next((metadata[name].strip() for name in names if metadata.get(name, "").strip()), "")


def _triggers(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Said by the file, else the words that its training captions had most often (kohya's `ss_tag_frequency`)."""
    told = _first(metadata, "modelspec.trigger_phrase", "trigger_words", "trigger_word", "ss_trigger_words")
    if told:
        try:
            words = json.loads(told)
        except (ValueError, RecursionError):
            words = told.split(",")
        words = words if isinstance(words, list) else [words]
        return tuple(word for word in (str(word).strip() for word in words) if word)
    try:
        counts: dict[str, int] = {}
        for folder in json.loads(metadata.get("ss_tag_frequency", "{}")).values():
            for tag, count in folder.items():
                counts[tag.strip()] = counts.get(tag.strip(), 0) + int(count)
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return ()
    return tuple(sorted(counts, key=lambda tag: -counts[tag])[:TRIGGERS_NAMED])


def _thumbnail(metadata: Mapping[str, str]) -> str:
    found = metadata.get("modelspec.thumbnail", "")
    return found if re.match(r"data:image/(jpeg|png|webp);base64,", found) else ""


def _some(keys: list[str]) -> str:
    named = ", ".join(key[:120] for key in keys[:KEYS_NAMED])
    return f"{named} …" if len(keys) > KEYS_NAMED else named
