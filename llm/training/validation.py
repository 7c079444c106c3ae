"""Loss on a fixed slice of the validation split, while training goes on and without changing it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llm.tokens.shards import Shard
from llm.training.batch import Batch, BatchSource, Integers, Tensors
from llm.training.plan import TrainingPlan
from llm.training.ranks.rank import Group

ROWS = 8  # of one forward pass


class ValidationWindows:
    """The first tokens of validation shards as windows of `length`, ROWS a step; a BatchSource.

    `tokens` are shared out evenly among the shards. bytes: of the text that is predicted; where a
    document is cut, its bytes count in proportion.
    """

    def __init__(self, paths: Sequence[Path], tokens: int, length: int) -> None:
        pieces: list[Integers] = []
        size = 0.0
        for shard in (Shard.open(path) for path in paths if path.is_file()):
            piece = np.asarray(shard.tokens[: tokens // len(paths)], dtype=np.int64)
            taken = np.diff(np.minimum(shard.offsets, len(piece)))
            whole = np.maximum(1, np.diff(shard.offsets))
            size += float((shard.documents["bytes"].to_numpy() * taken / whole).sum())
            pieces.append(piece)
        stream = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)
        count = max(0, len(stream) - 1) // length
        self.rows = (
            np.lib.stride_tricks.sliding_window_view(stream, length + 1)[::length][:count]
            if count
            else np.empty((0, length + 1), dtype=np.int64)
        )
        self.bytes = size * count * length / max(1, len(stream))

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return -(-len(self.rows) // ROWS)

    def part(self, step: int, part: int, parts: int) -> Batch:
        """All rows of a step: it has one part. Behind the last step come the first ones again.

        They are shifted by a row then, so that no window comes to stand behind itself.
        """
        assert (part, parts) == (0, 1)
        again, step = divmod(step, self.steps)
        rows = np.roll(self.rows[step * ROWS : (step + 1) * ROWS], again, axis=0).copy()
        return Batch.of(tokens=rows[:, :-1], targets=rows[:, 1:])

    def seen(self, step: int) -> Any:
        """The number of the step."""
        return step


class Slice:
    """A fixed set of rows, shared out among the ranks a step at a time.

    source: `steps` steps of one part. size: the text's bytes where the rows are for the next token,
    so that the result is in bits per byte; None: nats per target.
    """

    def __init__(
        self, source: BatchSource, steps: int, size: float | None, every: int, group: Group
    ) -> None:
        self.source, self.steps, self.size, self.every = source, steps, size, every
        self.group = group
        shared = group.share(8 * 2 * steps).view(torch.float64)
        self.nats, self.counts = shared.split(steps)

    def is_due(self, done: int, plan: TrainingPlan) -> bool:
        """Whether to measure after `done` steps: at a fixed interval, and after the last."""
        return done % self.every == 0 or done == plan.steps

    @torch.no_grad()
    def measure(self, model: nn.Module, loss: Callable[[Tensors], Tensor]) -> dict[str, float]:
        """The figure for metrics.jsonl; all ranks take part, and the bits do not depend on how many."""
        device = next(model.parameters()).device
        model.eval()
        ranks = self.group.size
        # As many passes on every rank, as sharded parameters ask: the last may be made twice.
        for turn in range(self.group.rank, -(-self.steps // ranks) * ranks, ranks):
            step = min(turn, self.steps - 1)
            rows = self.source.part(step, 0, 1)
            self.nats[step] = float(loss(rows.tensors(slice(None), device)))
            self.counts[step] = float(rows.learned.sum())
        model.train()
        self.group.barrier()
        nats = math.fsum(self.nats.tolist())
        found = {"validation_loss": nats / (float(self.counts.sum()) or 1.0)}
        if self.size:
            found["validation_bits_per_byte"] = nats / math.log(2) / self.size
        self.group.barrier()  # all have read the sums before any rank measures again
        return found
