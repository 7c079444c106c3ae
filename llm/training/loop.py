"""The training loop: from a step to the last, or to a request to stop.

One step, on every rank:
  1. gradients of the parts that are this rank's (part p belongs to rank p mod ranks)   | barrier
  2. this rank's chunks: sum over parts, divide by all targets, note sums of squares    | barrier
  3. clip by the norm of the whole, step this rank's share (Muon: after one more barrier) | barrier
Nothing random is kept from step to step: what a step reads and draws depends on (seed, step, part).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from llm.step import BadInput
from llm.training.batch import Batch, BatchSource, Objective, Tensors
from llm.training.plan import TrainingPlan
from llm.training.ranks.rank import Group
from llm.training.run import TrainingRun
from llm.training.validation import Slice
from llm.training.ways.accelerated import Accelerated
from llm.training.ways.out_of_memory import is_out_of_memory
from llm.training.ways.passes import Passes


class Judge(Protocol):
    """Who may end a run early."""

    def over(self, done: int) -> bool:
        """Whether a run ends here of which that was decided before it was interrupted."""

    def ends(self, done: int, steps: int) -> bool:
        """Whether training ends after `done` of `steps` steps: the same on every rank."""


def train(
    model: nn.Module,
    batches: BatchSource,
    objective: Objective,
    plan: TrainingPlan,
    group: Group,
    work: Path,
    start: Path | None = None,
    validation: Slice | None = None,
    judge: Judge | None = None,
) -> int:
    """Train `model` in place; returns the steps done: plan.steps, or fewer when asked to stop.

    judge: asked after each step, on every rank, whether training ends there.

    Goes on from the newest whole checkpoint in `work`, else from the checkpoint folder `start`.
    Writes metrics.jsonl, seen.jsonl, checkpoints/ and trunk/ into `work`; the last state is a
    checkpoint too. What goes wrong is mended as plan.spikes says and as memory allows, and noted in
    incidents.json. Raises RuntimeError when that does not help. validation: measured now and then.
    """
    run = TrainingRun(model, objective, plan, group, work)
    try:
        if judge and isinstance(run.state, Accelerated) and run.state.kind == "fsdp":
            raise BadInput(
                "early_stopping measures the whole model between steps, and fsdp shares its weights out: set "
                "machine.parallelism to ddp, or early_stopping to null"
            )
        return _steps(batches, run, start, validation, judge)
    finally:
        run.close()


def _steps(
    batches: BatchSource,
    run: TrainingRun,
    start: Path | None,
    validation: Slice | None,
    judge: Judge | None,
) -> int:
    plan, group = run.plan, run.group
    done = run.resume(start)
    run.model.train()
    passes = Passes(batches, run) if isinstance(run.state, Accelerated) else None
    while done < plan.steps and not (judge and judge.over(done)):
        began = time.monotonic()
        reads = run.incidents.data_step(done)
        going = passes.make(done, reads) if passes else make_parts(batches, run, done, reads)
        if not going:
            break  # the step is made again after the restart: half a gradient is worth nothing
        loss, norm = run.reduce(done)
        if problem := run.watch.problem(loss, norm):
            done = run.go_back(done, problem, start)
            continue
        run.step(done, norm)
        done += 1
        seconds = time.monotonic() - began
        found: dict[str, float] = {}
        if validation and validation.is_due(done, plan):
            found = validation.measure(run.model, run.loss)
        if group.rank == 0:
            run.note(done, loss, norm, (passes or batches).seen(reads), seconds, found)
            run.writer.check()  # a full disk ends training now, not at the next checkpoint
        if judge and judge.ends(done, plan.steps):
            break
        if done % plan.checkpoint_every == 0 or done in (plan.steps, plan.trunk_at):
            run.checkpoint(done)
    run.checkpoint(done)
    run.writer.wait()
    run.release()
    group.barrier()
    return done


def make_parts(batches: BatchSource, run: TrainingRun, done: int, reads: int) -> bool:
    """Gradients of this rank's parts, each into its buffer; False: a rank is asked to stop."""
    plan, group = run.plan, run.group
    for part in range(group.rank, plan.parts, group.size):
        rows = batches.part(reads, part, plan.parts)
        nats, count = part_gradients(rows, run, part, plan.seed + done * plan.parts + part)
        run.flat.losses[part], run.flat.counts[part] = nats, count
    run.flat.stops[group.rank] = float(group.stopping)
    group.barrier()
    return not run.flat.stops.any()


def part_gradients(rows: Batch, run: TrainingRun, part: int, seed: int) -> tuple[float, float]:
    """`gradients` of one part into its buffer; out of memory, again with half the micro-batch.

    Raises RuntimeError when there is no memory for a single row.
    """
    while True:
        if run.device.type == "cpu":
            torch.default_generator.manual_seed(
                seed
            )  # `torch.manual_seed` asks every device there is
        else:
            torch.manual_seed(seed)
        run.flat.collect(part)
        try:
            return gradients(run.loss, rows, run.micro_batch, run.device, run.group)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error)
        run.halve(len(rows), reason)  # here: the error held on to what it had allocated


def gradients(
    loss: Callable[[Tensors], Tensor],
    rows: Batch,
    micro_batch: int,
    device: torch.device,
    group: Group,
) -> tuple[float, float]:
    """Backward passes over one part, a micro-batch at a time: the summed loss, and of how much it is.

    Gradients of the sum add up in the buffer that the parameters' `.grad` point to. Ends early when
    this process is asked to stop.
    """
    total = torch.zeros((), dtype=torch.float64, device=device)  # read once: a GPU need not wait
    count = 0.0
    for first in range(0, len(rows), micro_batch):
        if group.stopping:
            break
        span = slice(first, first + micro_batch)
        learned = float(rows.learned[span].sum())
        if not learned:
            continue
        found = loss(rows.tensors(span, device))
        found.backward()
        total += found.detach()
        count += learned
    return float(total), count
