"""Whether the fused blocks draw on this device: found out by running them once, while the weights are read."""

from __future__ import annotations

import logging
import time

import torch
from platformdirs import user_cache_path

from hidream_studio.engine.devices import Device, is_out_of_memory
from hidream_studio.errors import DeviceError
from hidream_studio.model.fused import FusedBlocks, keep_kernels, why_not_fused
from hidream_studio.model.transformer import O1Transformer


def fused_blocks(model: O1Transformer, wanted: bool | None) -> FusedBlocks | None:
    """The model's fused blocks, tried out; None where the plain ones draw, and on a GPU the log says why.

    Parameters
    ----------
    model
        Its parameters must be on the device; what they hold does not matter.
    wanted
        None where they can be had; False never.

    Raises
    ------
    DeviceError
        when they are wanted and cannot be had, or broke the device for this process; OutOfMemoryError is left to the
        caller.
    """
    if wanted is False:
        return None
    logger = logging.getLogger(__name__)
    device = Device(model.device)
    why = why_not_fused(model)
    if why is None:
        keep_kernels(user_cache_path("hidream-studio") / "kernels")
        begun_s = time.perf_counter()
        try:
            blocks = FusedBlocks(model)
            blocks.try_out()
            device.synchronise()
        except Exception as error:  # a compiler that is missing, a driver that is too old: plain blocks need neither
            if is_out_of_memory(error):
                raise
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            why = f"they failed on {device.name}: {told}"
            _check_device(device, why)
        else:
            logger.info("fused kernels are ready after %.1f s", time.perf_counter() - begun_s)
            return blocks
    if wanted:
        mend = "; --precision bf16 would let them" if model.dtype == torch.float32 and device.is_gpu else ""
        raise DeviceError(f"fused kernels were asked for, but {why}{mend}", field="fused")
    if device.is_gpu:
        level = logging.INFO if model.dtype == torch.float32 else logging.WARNING  # float32 was chosen
        logger.log(level, "drawing without fused kernels, which is slower: %s", why)
    return None


def _check_device(device: Device, why: str) -> None:
    """Some of CUDA's errors stay for the life of a process: then the plain blocks would fail as well."""
    try:
        device.synchronise()
    except RuntimeError as error:
        raise DeviceError(
            f"fused kernels broke the device, {why}; --no-fused leaves them out", field="fused"
        ) from error
