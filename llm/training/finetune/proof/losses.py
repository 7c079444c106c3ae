"""Whether the loss is the same however rows are cut up, through the training loop's own passes.

The loss of a row is compared with the sum over each of its examples alone, and an example's with that
beside other neighbours. The step of the training loop is made with some rows in 1, 2 and 4 micro-batches
and in 1 and 2 parts: of each row a window of PLACES, for how a sum is divided does not depend on the
length. Dropout is off.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from llm.durable import empty_folder
from llm.tokens.rows import IGNORE
from llm.training.batch import REJECTED, Array, Batch, Integers, Objective
from llm.training.finetune.epochs import Epochs
from llm.training.finetune.task import Rows
from llm.training.loop import make_parts
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.plan import TrainingPlan
from llm.training.ranks.rank import Group
from llm.training.run import TrainingRun
from llm.training.ways.accelerated import Accelerated
from llm.training.ways.passes import Passes

LIBRARIES = ("torch", "numpy")

TOLERANCE = 1e-5  # of a loss, relative
GRADIENT = 1e-4  # of a gradient's length, relative: float32 adds in another order
LEAST = 0.01  # nats, or units of error, of what is learned: less is compared as if it were so much
WAYS = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2))  # parts, micro-batches of a part
ALONE = 2  # rows whose examples are read alone
PLACES = 128  # of a row where gradients are made
SEQUENCES = {"tokens", "targets", "segments", "sources", "source_segments"}

Stop = Callable[[int, int | None, str], Any]


class Few:
    """Some of the rows, as if there were no others."""

    def __init__(self, rows: Rows, numbers: Integers) -> None:
        self.rows, self.numbers, self.length = rows, numbers, rows.length

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, numbers: Integers) -> Batch:
        """The rows of these numbers among the few, a window of each."""
        wanted = self.numbers[numbers]
        batch = self.rows.read(wanted)
        return windows(batch, [self.owners(one) for one in numbers.tolist()])

    def examples(self, number: int) -> Sequence[int]:
        """Those of a row."""
        return self.rows.examples(int(self.numbers[number]))

    def owners(self, number: int) -> Mapping[str, Integers]:
        """Those of a row."""
        return self.rows.owners(int(self.numbers[number]))


class Losses:
    """A model and what is asked of it, on a task's rows. parallelism: as of a plan."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        rows: Rows,
        work: Path,
        parallelism: Literal["auto", "ddp"] = "auto",
    ) -> None:
        self.model, self.objective, self.rows, self.work = model, objective, rows, work
        self.parallelism = parallelism
        self.device = next(model.parameters()).device

    def choose(self, count: int) -> Integers:
        """Rows to look at: drawn, but one with several examples is among them where there is any."""
        random = np.random.Generator(np.random.PCG64(0))
        order = random.permutation(len(self.rows))[: max(64, count)]
        several = [one for one in order.tolist() if len(self.rows.examples(one)) > 1]
        chosen = list(dict.fromkeys([*several[:1], *order.tolist()]))[:count]
        return np.array(chosen, np.int64)

    def prove(self, numbers: Integers, wrong: Stop) -> dict[str, float]:
        """Compare the losses of these rows. wrong: as of `members`. The largest differences found."""
        alone = max(self._alone(number, wrong) for number in numbers[:ALONE].tolist())
        self._neighbours(int(numbers[0]), wrong)
        return {"alone": alone, "ways": self._ways(numbers, wrong)}

    def loss(self, batch: Batch) -> float:
        """Summed, without gradients."""
        with torch.no_grad():
            return float(self.objective.loss(self.model, batch.tensors(slice(None), self.device)))

    def _alone(self, number: int, wrong: Stop) -> float:
        """The examples of a row by themselves have its loss."""
        row = self.rows.read(np.array([number]))
        owners = self.rows.owners(number)
        alone = sum(
            self.loss(by_itself(row, owners, owner))
            for owner in range(1, 1 + len(self.rows.examples(number)))
        )
        together, scale = self.loss(row), float(row.learned.sum())
        off = _apart(together, alone, scale)
        if off > TOLERANCE:
            wrong(
                number,
                None,
                f"the loss of its examples together is {together:.6g} and that of each alone {alone:.6g}: packing "
                "changes what is learned",
            )
        return off

    def _neighbours(self, number: int, wrong: Stop) -> None:
        """The loss of an example does not depend on what else stands in the row."""
        examples = self.rows.examples(number)
        if len(examples) < 2:
            return
        row, owners = self.rows.read(np.array([number])), self.rows.owners(number)
        for owner in (1, len(examples)):
            before, after = (self.loss(one) for one in with_other_neighbours(row, owners, owner))
            if _apart(before, after, 1.0) > TOLERANCE:
                wrong(
                    number,
                    examples[owner - 1],
                    f"its loss is {before:.6g}, and {after:.6g} with other examples beside it: it sees them",
                )

    def _ways(self, numbers: Integers, wrong: Stop) -> float:
        """The training loop's loss and gradient, however it cuts the rows up."""
        few = Few(self.rows, numbers)
        batch = few.read(np.arange(len(few)))
        learned = float(batch.learned.sum())
        if not learned:
            return 0.0
        wanted, length = self._plainly(batch, learned)
        largest = 0.0
        for parts, cuts in WAYS:
            if parts > len(few):
                continue
            loss, norm = self._by_the_loop(few, parts, cuts)
            off = _apart(loss * learned, wanted * learned, learned)
            largest = max(largest, off)
            if off > TOLERANCE or abs(norm - length) > GRADIENT * max(length, 1e-8):
                wrong(
                    int(numbers[0]),
                    None,
                    f"with {len(few)} rows in {parts} part(s) of {cuts} micro-batch(es) the loss is {loss:.6g} and its "
                    f"gradient {norm:.6g} long; at once they are {wanted:.6g} and {length:.6g}: the step is divided "
                    "wrongly",
                )
        return largest

    def _plainly(self, batch: Batch, learned: float) -> tuple[float, float]:
        """The mean loss of rows and the length of its gradient, by autograd alone."""
        self.model.zero_grad(set_to_none=True)
        found = self.objective.loss(self.model, batch.tensors(slice(None), self.device)) / learned
        found.backward()
        gradients = [one.grad for one in self.model.parameters() if one.grad is not None]
        length = torch.stack([one.double().square().sum() for one in gradients]).sum().sqrt()
        self.model.zero_grad(set_to_none=True)
        return float(found.detach()), float(length)

    def _by_the_loop(self, rows: Rows, parts: int, cuts: int) -> tuple[float, float]:
        """Loss and gradient of the first step of a training run on the rows, which then goes no further."""
        source = Epochs(rows, len(rows), seed=0)
        plan = TrainingPlan(
            steps=1,
            tokens_per_step=len(rows) * rows.length,
            parts=parts,
            learning_rate=lambda step: 0.0,
            optimizer=OptimizerSettings(),
            seed=0,
            identity="proof",
            micro_batch=max(1, -(-len(rows) // (parts * cuts))),
            compiled=False,
            parallelism=self.parallelism,
        )
        run = TrainingRun(self.model, self.objective, plan, Group(), empty_folder(self.work))
        try:
            if isinstance(run.state, Accelerated):
                Passes(source, run).make(0, 0)
            else:
                make_parts(source, run, 0, 0)
            loss, norm = run.reduce(0)
            return loss, float(norm)
        finally:
            run.release()
            run.close()


def windows(batch: Batch, owners: Sequence[Mapping[str, Integers]]) -> Batch:
    """PLACES of each row, from where one of its examples begins: where most of it is learned.

    Rows of whole texts, and of preferences, stay as they are.
    """
    if not set(batch.arrays) <= SEQUENCES or batch["targets"].shape[1] <= PLACES:
        return batch
    learned = np.pad(np.cumsum(batch["targets"] != IGNORE, 1), ((0, 0), (1, PLACES)), mode="edge")
    learned[:, 0] = 0
    begins = []
    for row, owner in enumerate(owners):
        edges = np.flatnonzero(np.diff(owner["targets"], prepend=0) > 0)
        most = learned[row, edges + PLACES] - learned[row, edges]
        begins.append(int(edges[most.argmax()]))
    places = np.array(begins)[:, None] + np.arange(PLACES)
    there = places < batch["targets"].shape[1]
    places = np.minimum(places, batch["targets"].shape[1] - 1)
    arrays = {name: np.take_along_axis(array, places, 1) for name, array in batch.arrays.items()}
    for name in ("segments", "source_segments"):
        if name in arrays:
            arrays[name] = np.where(there, arrays[name], 0)
    targets = np.where(there, arrays.pop("targets"), IGNORE)
    return Batch.of(targets=targets, **arrays)


def by_itself(row: Batch, owners: Mapping[str, Integers], owner: int) -> Batch:
    """An example of a row (of one row) as a row of its own."""
    found = {}
    for name, array in row.arrays.items():
        mine = owners[name][: array.shape[1]] == owner
        found[name] = array[:, : len(mine)][:, mine]
        if name.endswith("segments"):
            found[name] = np.ones_like(found[name])
    return Batch(found, row.learned)


def with_other_neighbours(
    row: Batch, owners: Mapping[str, Integers], owner: int
) -> Iterator[Batch]:
    """A row of which one example is learned alone, and the same with the others' tokens changed."""
    arrays: dict[str, Array] = dict(row.arrays)
    kinds = ("reference", "weights", "targets")
    name = next(kind for kind in kinds if kind in arrays)
    others = owners[name][: arrays[name].shape[1]] != owner
    learned = arrays[name].copy()
    if name == "weights":
        learned[:, : len(others)][:, others] = np.minimum(learned[:, : len(others)][:, others], 0)
    else:
        learned[:, others] = np.nan if name == "reference" else IGNORE
    arrays[name] = learned
    yield Batch(arrays, row.learned)
    read = "sources" if "sources" in arrays else "tokens"
    for kind in {read, "tokens", *(one for one in arrays if one == f"{REJECTED}tokens")}:
        if kind == "tokens" and name == "weights" and read == "sources":
            continue  # what each text starts from
        belongs = owners[kind][: arrays[kind].shape[1]]
        changed = arrays[kind].copy()
        places = np.flatnonzero((belongs != owner) & (belongs != 0))
        changed[:, places] = changed[:, places[::-1]]
        if (changed == arrays[kind]).all():
            changed[:, places] = arrays[kind].max()
        arrays[kind] = changed
    yield Batch(arrays, row.learned)


def _apart(one: float, other: float, scale: float) -> float:
    """How far two losses are apart, relative to the larger; infinite where one is no number."""
    most = max(abs(one), abs(other), LEAST * max(scale, 1.0))
    off = abs(one - other) / most
    return off if np.isfinite(off) else float("inf")
