"""Weights on their way between files and our modules. Knows nothing of what the model computes.

Rows stream from their file to the device, into parameters that are allocated there: at no time are there two copies of
the model, and what upstream keeps apart (Q, K, V; gate, up) is put together on arrival.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hidream_studio.model.checkpoint import Checkpoint, StoredTower
from hidream_studio.model.config import ModelConfig, VisionConfig
from hidream_studio.model.dequantise import as_e4m3, block_scales, row_scales, values_of
from hidream_studio.model.fp8 import Fp8Linear, use_fp8_linears
from hidream_studio.model.header import Scaling, StoredTensor
from hidream_studio.model.layout import Slot, slots, vision_slots
from hidream_studio.model.reading import Piece, read_pieces, read_whole
from hidream_studio.model.residency import Residency
from hidream_studio.model.streaming import Travel
from hidream_studio.model.transformer import Block, O1Transformer
from hidream_studio.model.vision import VisionTower

INIT_STD = 0.02  # upstream's initializer_range


def empty_model(
    config: ModelConfig,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    fp8: bool = False,
    kept_only: bool = False,
    residency: Residency | None = None,
    source: Checkpoint | None = None,
) -> O1Transformer:
    """A model whose parameters are allocated on the device and hold nothing yet. In eval mode, without gradients.

    With `fp8`, the blocks' matrices are 8-bit floats (`model/fp8.py`), and everything else is `dtype`; with `kept_only`
    their products are in `dtype`, too.
    With a `residency` whose blocks travel, those are kept in the host's memory (`model/streaming.py`), or read from
    `source` in each pass; the table of the words' embeddings, of which a prompt needs a few rows, stays in the host's.
    """
    with torch.device("meta"), _NothingDrawn():
        model = O1Transformer(config)
    model = model.to(dtype)
    if fp8:
        use_fp8_linears(model.blocks, kept_only=kept_only)
    if residency is not None and residency.travelling:
        _let_travel(model, torch.device(device), residency, source)
    _allocate(model, device)
    return model.eval()


def _let_travel(model: O1Transformer, device: torch.device, residency: Residency, source: Checkpoint | None) -> None:
    fill = None if source is None else partial(_fill_block, source, model)
    model.travel = Travel(list(model.blocks), residency, device, fill)
    _allocate(model.embed, "cpu")


def empty_tower(config: VisionConfig, device: torch.device | str, dtype: torch.dtype) -> VisionTower:
    """The same of a vision tower, which is never quantised."""
    with torch.device("meta"), _NothingDrawn():
        tower = VisionTower(config)
    tower = tower.to(dtype)
    _allocate(tower, device)
    return tower.eval()


def _allocate(model: nn.Module, device: torch.device | str) -> None:
    for module in list(model.modules()):
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.device.type != "meta":
                continue
            # not to_empty(): for meta tensors torch imports sympy there, for most of a second
            values = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            setattr(module, name, nn.Parameter(values, requires_grad=False))


class _NothingDrawn(TorchFunctionMode):
    """Leaves out the first weights that torch's modules draw: on the meta device it imports its compiler to do so."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def model_bytes(config: ModelConfig, dtype: torch.dtype, *, fp8: bool = False) -> int:
    """How much memory the parameters take."""
    return sum(parameter.nbytes for parameter in empty_model(config, "meta", dtype, fp8=fp8).parameters())


def tower_bytes(config: VisionConfig, dtype: torch.dtype) -> int:
    """The same of a vision tower."""
    return empty_tower(config, "meta", dtype).nbytes


def load_model(
    checkpoint: Checkpoint,
    device: torch.device | str,
    dtype: torch.dtype,
    on_progress: Callable[[float], None] | None = None,  # gets the share loaded, 0 to 1
    *,
    fp8: bool = False,
) -> O1Transformer:
    """The checkpoint's model, on the device, in that dtype; with `fp8` quantised on arrival, see `empty_model`.

    Raises
    ------
    CheckpointError
        when a file can no longer be read.
    """
    model = empty_model(checkpoint.config, device, dtype, fp8=fp8)
    fill_model(model, checkpoint, on_progress)
    return model


def fill_model(
    model: O1Transformer,  # of `empty_model`
    checkpoint: Checkpoint,
    on_progress: Callable[[float], None] | None = None,  # gets the share loaded, 0 to 1
) -> None:
    """Read the checkpoint's weights into the model's parameters.

    Raises
    ------
    CheckpointError
        when a file can no longer be read.
    """
    travel = model.travel
    if travel is not None and travel.from_files:
        coming = tuple(f"blocks.{number}." for number in travel.residency.travelling)
        places = [slot for slot in slots(checkpoint.config) if not slot.parameter.startswith(coming)]
        stored = {slot.key: checkpoint.tensors[slot.key] for slot in places}
        _fill(model, stored, places, on_progress)
    else:
        _fill(at_home(model), checkpoint.tensors, slots(checkpoint.config), on_progress)


def _fill_block(checkpoint: Checkpoint, model: O1Transformer, number: int, block: nn.Module) -> None:
    """One block's weights from its file, to wherever its parameters are."""
    places = [slot for slot in slots(checkpoint.config) if slot.parameter.startswith(f"blocks.{number}.")]
    _fill(model, {slot.key: checkpoint.tensors[slot.key] for slot in places}, places, None)


def at_home(model: O1Transformer) -> O1Transformer:
    """The same weights, those that travel where they are kept: what lies in the slots is passing by."""
    if model.travel is None:
        return model
    home = copy.copy(model)
    home._modules = dict(model._modules)
    kept = [model.travel.at_home(number, _shape_of_block(model)) for number in range(len(model.blocks))]
    home.blocks = nn.ModuleList(there or here for there, here in zip(kept, model.blocks, strict=True))
    return home


def _shape_of_block(model: O1Transformer) -> nn.Module:
    """One more block, without memory."""
    with torch.device("meta"), _NothingDrawn():
        block = Block(model.config).to(model.dtype)
    if any(isinstance(module, Fp8Linear) for module in model.blocks.modules()):
        use_fp8_linears(block)
    return block


def make_room(model: O1Transformer, count: int) -> int:
    """Let so many more blocks travel, or as many as there are. Returns how many did; their memory is free then."""
    if model.travel is None:
        model.travel = Travel(list(model.blocks), Residency(len(model.blocks)), model.device)
    fused = model.run_blocks
    if fused is not None:
        fused.forget()
    moved = model.travel.give_way(count)
    if fused is not None:
        fused.look_again()
    return moved


def load_tower(stored: StoredTower, device: torch.device | str, dtype: torch.dtype) -> VisionTower:
    """The checkpoint's vision tower, on the device.

    Raises
    ------
    CheckpointError
        when a file can no longer be read.
    """
    tower = empty_tower(stored.config, device, dtype)
    _fill(tower, stored.tensors, vision_slots(stored.config), None)
    return tower


def _fill(
    model: O1Transformer | VisionTower,
    stored: Mapping[str, StoredTensor],
    places: Iterable[Slot],
    on_progress: Callable[[float], None] | None,
) -> None:
    by_key = {slot.key: slot for slot in places}
    # in the order of the files, so that a disk reads them once from end to end
    tensors = sorted(stored.items(), key=lambda item: (item[1].file, item[1].offset))
    total, loaded = sum(tensor.nbytes for tensor in stored.values()), 0
    scales = Scales(model.device)
    for piece in read_pieces(tensors, model.device):
        slot, one = by_key[piece.key], stored[piece.key]
        first_row = slot.first_row + piece.first_row
        if one.scaling is None:
            _set_rows(model, slot.parameter, first_row, piece.rows)
        else:
            _set_scaled(model, slot.parameter, first_row, piece.rows, one.scaling, scales.of(one, piece))
        loaded += piece.rows.nbytes
        if on_progress is not None:
            on_progress(loaded / total)


class Scales:
    """Of one quantised tensor after the other, as their pieces come."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stored: StoredTensor | None = None
        self._all = torch.empty(0)

    def of(self, stored: StoredTensor, piece: Piece) -> Tensor:
        """Of the piece's rows."""
        assert stored.scaling is not None
        if stored is not self._stored:
            self._stored, (rows, columns) = stored, stored.shape
            scale = read_whole(stored.scaling.scale).to(self._device)
            blocks = stored.scaling.kind == "mxfp8"
            self._all = block_scales(scale, rows, columns) if blocks else row_scales(scale, rows)
        return self._all[piece.first_row : piece.first_row + len(piece.rows)]


def _set_scaled(
    model: O1Transformer | VisionTower, parameter: str, first_row: int, rows: Tensor, scaling: Scaling, scale: Tensor
) -> None:
    module = model.get_submodule(parameter.rpartition(".")[0])
    if isinstance(module, Fp8Linear) and scaling.kind == "e4m3":  # no second loss
        module.set_quantised(first_row, as_e4m3(rows), scale)
    else:
        _set_rows(model, parameter, first_row, values_of(rows, scaling.kind, scale, scaling.rotated))


def _set_rows(model: O1Transformer | VisionTower, parameter: str, first_row: int, rows: Tensor) -> None:
    owner, _, name = parameter.rpartition(".")
    module = model.get_submodule(owner)
    if isinstance(module, Fp8Linear):
        module.set_rows(first_row, rows.to(model.dtype))
    else:
        there = module.get_parameter(name).data[first_row : first_row + rows.shape[0]]
        there.copy_(rows.reshape(there.shape))  # a convolution's weight is a matrix here


def random_model(
    config: ModelConfig, device: torch.device | str, dtype: torch.dtype, seed: int, *, fp8: bool = False
) -> O1Transformer:
    """A model of that shape with random weights, drawn on the device: for benchmarks, and as a start for training.

    Matrices are N(0, 0.02²), norms 1, biases 0.
    """
    model = empty_model(config, device, dtype, fp8=fp8)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, Fp8Linear):
            if parameter is owner.weight:
                drawn = torch.empty(parameter.shape, dtype=dtype, device=device)
                owner.set_rows(0, drawn.normal_(0, INIT_STD, generator=generator))
        else:
            _draw(name, parameter, generator)
    return model


def random_tower(config: VisionConfig, device: torch.device | str, dtype: torch.dtype, seed: int) -> VisionTower:
    """The same of a vision tower."""
    tower = empty_tower(config, device, dtype)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in tower.named_parameters():
        _draw(name, parameter, generator)
    return tower


def _draw(name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
    if parameter.ndim == 1:
        parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
    else:
        parameter.normal_(0, INIT_STD, generator=generator)


def export_state_dict(model: O1Transformer) -> dict[str, Tensor]:
    """The model's tensors under upstream's names and in upstream's shapes, as contiguous copies on the CPU.

    Of a model that is not quantised: what FP8 lost is not there to be exported.
    """
    parameters = dict(model.named_parameters())
    state = {}
    for slot in slots(model.config):
        rows = parameters[slot.parameter].detach()[slot.first_row : slot.first_row + slot.shape[0]]
        state[slot.key] = rows.to("cpu", copy=True).contiguous()
    return state
