"""The best weights of a run by a held-out figure, and when to stop looking for better ones.

Every rank measures by itself, to the same bits, and so decides the same. What is kept is a function of
the steps made: a run that was killed measures again what it makes again, and ends alike.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from llm.durable import write_json
from llm.tensor_file import write_tensors
from llm.training.ways.flat import learned

LIBRARIES = ("torch", "safetensors")
NOTE, WEIGHTS = "best.json", "best.safetensors"


class Best:
    """Keeps the weights of the best measurement. measure: a score, of which greater is better.

    every: steps between measurements. writes: whether this rank writes.
    """

    def __init__(
        self,
        work: Path,
        every: int,
        patience: int | None,
        measure: Callable[[], Sequence[float]],
        model: nn.Module,
        writes: bool,
    ) -> None:
        self.work, self.every, self.patience, self.measure = work, every, patience, measure
        self.model, self.writes = model, writes
        note = json.loads((work / NOTE).read_bytes()) if (work / NOTE).exists() else {}
        self.step: int = note.get("step", 0)
        self.score: list[float] = note.get("score", [])
        self.end: int | None = note.get("end")

    def over(self, done: int) -> bool:
        """Whether a run that has made `done` steps ends there, as it did before it was interrupted."""
        return self.end is not None and done >= self.end

    def ends(self, done: int, steps: int) -> bool:
        """Measure where it is due after `done` of `steps` steps; whether training ends now."""
        if done % self.every and done != steps:
            return False
        score = list(self.measure())
        if score > self.score:
            self.step, self.score = done, score
            if self.writes:
                tensors = {
                    name: one.detach().to("cpu", copy=True) for name, one in learned(self.model)
                }
                write_tensors(self.work / WEIGHTS, tensors, {})
        # Of a run that goes on from before its best, the best lies ahead: it is not the time to stop.
        if self.patience is not None and done - self.step >= self.patience * self.every:
            self.end = done
        if self.writes:
            write_json(self.work / NOTE, {"step": self.step, "score": self.score, "end": self.end})
        return self.over(done)

    @torch.no_grad()
    def restore(self) -> None:
        """Give the model its best weights."""
        if self.step:
            found = load_file(self.work / WEIGHTS)
            for name, parameter in learned(self.model):
                parameter.copy_(found[name])
