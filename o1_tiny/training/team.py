"""Training on several GPUs: one process each, gradients summed, one clock. Knows neither model nor data.

Started by `python3 -m torch.distributed.run --standalone --nproc-per-node 2 -m o1_tiny.training …`, which tells each
process its number; without it, there is one process and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as processes
from torch import Tensor


@dataclass(frozen=True)
class Team:
    rank: int = 0
    count: int = 1

    @classmethod
    def of_environment(cls) -> Team:
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def leads(self) -> bool:
        """Whether this process writes log and files."""
        return self.rank == 0

    def device(self) -> torch.device:
        if not torch.cuda.is_available():
            return torch.device("cpu")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device

    def join(self, weights: Iterable[Tensor]) -> None:
        """Meet the others, and start from the first one's weights.

        Only after CUDA graphs are captured: until then nobody else may ask the device anything; NCCL's watchdog does.
        """
        if self.count == 1:
            return
        processes.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        for weight in weights:
            processes.broadcast(weight, src=0)

    def sum(self, gradient: Tensor) -> None:
        if self.count > 1:
            processes.all_reduce(gradient)

    def agree(self, value: float, device: torch.device) -> float:
        """The first process's value, everywhere; waits for the device."""
        told = torch.tensor(value, dtype=torch.float64, device=device)
        if self.count > 1:
            processes.broadcast(told, src=0)
        return float(told)

    def leave(self) -> None:
        if self.count > 1 and processes.is_initialized():
            processes.destroy_process_group()
