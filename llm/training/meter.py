"""A step in figures: one line of metrics.jsonl."""

import resource
import sys
from dataclasses import dataclass
from typing import Any

import torch

from llm.training.scaling.peaks import peak_flops


@dataclass(frozen=True)
class Meter:
    """flops_per_token: of forward and backward passes; None: not known, so no utilisation is.

    devices: how many such devices share a step.
    """

    device: torch.device
    tokens_per_step: int
    flops_per_token: float | None
    devices: int = 1

    def line(
        self, done: int, loss: float, rate: float, norm: float, seconds: float
    ) -> dict[str, Any]:
        """What happened in the step that made `done` of them.

        mfu: model FLOPs utilisation, a fraction of the devices' dense bfloat16 peak (PaLM, arXiv
        2204.02311, appendix B); None where the peak is not known. memory_bytes: the most that the
        device held for this process, on the CPU the process's largest resident set.
        """
        speed = self.tokens_per_step / seconds
        return {
            "step": done,
            "tokens": done * self.tokens_per_step,
            "loss": loss,
            "lr": rate,
            "grad_norm": norm,
            "tokens_per_second": round(speed, 1),
            "mfu": self._utilisation(speed),
            "memory_bytes": self._memory(),
        }

    def _utilisation(self, speed: float) -> float | None:
        cuda = self.device.type == "cuda"
        peak = peak_flops(torch.cuda.get_device_name(self.device)) if cuda else None
        if peak is None or self.flops_per_token is None:
            return None
        return round(speed * self.flops_per_token / (peak * self.devices), 4)

    def _memory(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
