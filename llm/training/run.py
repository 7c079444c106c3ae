"""The state of one training run on one rank, how it is kept, and how it is brought back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from llm.durable import write_json
from llm.parts import unkeyed
from llm.step import BadInput
from llm.training import checkpoints
from llm.training.batch import Objective, Tensors
from llm.training.incidents import Incidents, Watch
from llm.training.optimizers.settings import Optimizer
from llm.training.plan import TrainingPlan
from llm.training.ranks.rank import Group, StartAgain
from llm.training.ways.accelerated import Accelerated
from llm.training.ways.choice import state_for
from llm.training.ways.compiling import as_it_was
from llm.training.ways.flat import Flat
from llm.training.work import (
    CHECKPOINTS,
    METRICS,
    SEEN,
    STARTED,
    TRUNK,
    Log,
    sync_file,
)
from llm.training.writer import Writer

if TYPE_CHECKING:
    from llm.training.meter import Meter


class TrainingRun:
    """The state of one run on one rank: parameters, optimizer, and what is written to disk.

    model: what is trained: the one given, or a copy of which each rank has a share. loss: of rows, by
    the objective.
    """

    def __init__(
        self, model: nn.Module, objective: Objective, plan: TrainingPlan, group: Group, work: Path
    ) -> None:
        self.plan, self.group, self.work = plan, group, work
        self.device = next(model.parameters()).device
        self.writer = Writer()
        self.metrics, self.seen = Log(work / METRICS), Log(work / SEEN)
        self.incidents = Incidents()
        self.watch = Watch(plan.spikes.factor)
        # What is told of a run decides nothing of it.
        meter, told = unkeyed("llm.training.meter"), unkeyed("llm.training.environment")
        self.meter: Meter = meter.Meter(
            self.device, plan.tokens_per_step, plan.flops_per_token, group.size
        )
        self.micro_batch = plan.micro_batch
        self.given = model
        self.state = state_for(model, objective, plan, group)
        self.model = model
        self.loss: Callable[[Tensors], Tensor] = partial(objective.loss, model)
        if isinstance(self.state, Accelerated):
            self.model, self.loss = self.state.model, self.state.loss
        self.compute_type: torch.dtype = getattr(model, "compute_dtype", torch.float32)
        self.environment: dict[str, Any] = told.environment(model, plan, self.state, group)
        self.optimizer: Optimizer
        self.saved = 0  # the step of the newest checkpoint

    def resume(self, start: Path | None, notes: Sequence[str] = ()) -> int:
        """Load the newest checkpoint, if any, and cut the logs back to it; the steps done.

        notes: what the user is told besides.
        """
        found = self.group.tell(self._find(start, notes) if self.group.rank == 0 else None)
        self.saved = found.step if found else 0
        self.incidents = Incidents.read(self.work)
        self.micro_batch = min([self.plan.micro_batch, *self.incidents.halved.values()])
        self.watch.restart(self.work / METRICS)
        self.optimizer = self.state.optimizer(self.plan.optimizer, self.saved, self.compute_type)
        if found:
            self._restore(found)
        trunk = self.work / TRUNK
        lacks_trunk = self.saved == self.plan.trunk_at and not trunk.exists()
        self.group.barrier()
        if lacks_trunk:
            tensors = self._snapshot()
            if self.group.rank == 0:
                checkpoints.save(trunk, tensors, self._note(self.saved))
        self.group.barrier()
        return self.saved

    @property
    def flat(self) -> Flat:
        """The buffers that all ranks of a run on the CPU share."""
        assert isinstance(self.state, Flat)
        return self.state

    def _restore(self, found: checkpoints.Checkpoint) -> None:
        if isinstance(self.state, Accelerated):
            self.state.restore(found)
        elif self.group.rank == 0:
            found.restore(self.state.tensors())

    def _snapshot(self, last: bool = False) -> Mapping[str, Tensor]:
        """Parameters and moments as they are now, for rank 0 to write; all ranks take part.

        last: nothing changes them any more, so that they need not be copied.
        """
        if isinstance(self.state, Accelerated):
            return self.state.snapshot()
        if self.group.rank:
            return {}
        tensors = self.state.tensors()
        return {name: one.to("cpu", copy=not last) for name, one in tensors.items()}

    def _fits(self, note: Mapping[str, Any]) -> bool:
        """Whether a checkpoint is of this run, and of the data that it reads now."""
        same = note.get("identity") == self.plan.identity_at(int(note["step"]))
        return same and self.incidents.fit(note)

    def _find(self, start: Path | None, notes: Sequence[str]) -> checkpoints.Checkpoint | None:
        """The checkpoint to go on from, and the logs as they were then (rank 0)."""
        warnings = list(notes)
        root = self.work / CHECKPOINTS
        root.mkdir(parents=True, exist_ok=True)
        self.incidents = Incidents.read(self.work)
        found = next(checkpoints.fitting(root, self._fits, warnings.append), None)
        if found is None and start is not None:
            found = checkpoints.read(start)
            if found.note["layout"] != self._note(0)["layout"]:
                raise BadInput(
                    f"{start} has its parameters in other places than this code: train from scratch "
                    "(penstock run RECIPE --force pretrain)"
                )
            if not self.incidents.skips and found.note.get("incidents", {}).get("skips"):
                self.incidents = Incidents.of(found.note["incidents"])
                self.incidents.write(self.work)
        if found is not None and found.note["environment"] != self.environment:
            warnings.append(
                f"going on from step {found.step} in another environment ({self.environment}, before: "
                f"{found.note['environment']}): the result is equivalent, not bitwise the same"
            )
        done = found.step if found else 0
        checkpoints.remove_after(root, done)
        for log in (self.metrics, self.seen):
            log.cut_back(done)
        write_json(self.work / STARTED, {"step": done, "warnings": warnings})
        return found

    def halve(self, rows: int, reason: str) -> None:
        """Half the micro-batch of this rank, which had no memory for `rows` rows or what it was."""
        tried = min(self.micro_batch, rows)
        if tried == 1:
            raise RuntimeError(
                f"out of memory for a single row: lower model.context_length or the model's sizes, or "
                f"use a machine with more ({reason})"
            )
        self.micro_batch = tried // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def halve_together(self, done: int, rows: int, reason: str) -> None:
        """`halve` in step `done` (from 0) of a run whose ranks meet inside passes.

        Raises StartAgain where there are others: they wait in a pass that this rank cannot make.
        """
        self.halve(rows, reason)
        self._note_halved(done, self.micro_batch)
        if self.group.size > 1:
            raise StartAgain(
                f"rank {self.group.rank} was out of memory ({reason}); all start again with a "
                f"micro-batch of {self.micro_batch}"
            )

    def _note_halved(self, done: int, micro_batch: int) -> None:
        if micro_batch < min([self.plan.micro_batch, *self.incidents.halved.values()]):
            self.incidents.halved[str(done)] = micro_batch
            self.incidents.write(self.work)

    def go_back(self, done: int, problem: str, start: Path | None) -> int:
        """Return to a checkpoint because of `problem` in step `done` (from 0), and skip the data since.

        The steps done there. All ranks agree on the problem, for they see the same sums; rank 0 looks
        for the checkpoint. Raises RuntimeError when there is none, or it has been done too often.
        """
        rate = self.plan.learning_rate(done)
        message = (
            f"training diverged at step {done + 1} of {self.plan.steps}: {problem}, learning rate "
            f"{rate:.3g}. Lower schedule.peak_lr (try {rate / 3:.1g}), lengthen "
            "schedule.warmup_tokens, or lower clip"
        )
        most, before = self.plan.spikes.most, len(self.incidents.skips)
        if before >= most:
            raise RuntimeError(f"{message}; data was skipped {before} times before (spikes.most)")
        notes: list[str] = []
        if self.group.rank == 0:
            self.writer.wait()
            origins = self._origins(done, start)
            if not origins:
                raise RuntimeError(f"{message}; there is no checkpoint yet to go back to")
            skip = self.incidents.skip(done, origins)
            self.incidents.write(self.work)
            notes.append(
                f"step {done + 1}: {problem}; gone back to step {skip.origin}, and the data of "
                f"{skip.last - skip.first + 1} steps is skipped ({before + 1} of at most {most} times)"
            )
        self.group.barrier()
        return self.resume(start, notes)

    def _origins(self, done: int, start: Path | None) -> list[int]:
        """Steps of the checkpoints to go back to, newest first: those that an undisturbed run has."""
        found = checkpoints.fitting(self.work / CHECKPOINTS, self._fits, lambda _: None)
        steps = [one.step for one in found if self._is_regular(one.step) and one.step <= done]
        if not steps and start is not None:
            steps = [checkpoints.read(start).step]
        return steps

    def _is_regular(self, step: int) -> bool:
        return step % self.plan.checkpoint_every == 0 or step == self.plan.trunk_at

    def reduce(self, done: int) -> tuple[float, float]:
        """Phase 2 of step `done` (from 0), after the first barrier: loss, gradient norm."""
        if isinstance(self.state, Accelerated):
            return self.state.figures()
        self.state.reduce()
        self.state.micro[self.group.rank] = self.micro_batch
        self.group.barrier()
        self.micro_batch = int(self.state.micro.min())
        if self.group.rank == 0:
            self._note_halved(done, self.micro_batch)
        return self.state.loss(), self.state.norm()

    def step(self, done: int, norm: float) -> None:
        """Phase 3: clip and step this rank's share."""
        if self.plan.clip is not None and norm > self.plan.clip:
            self.state.scale_gradient(self.plan.clip / norm)
        if self.optimizer.crosses_shares:
            self.group.barrier()
        self.optimizer.step(self.plan.learning_rate(done))
        self.group.barrier()

    def note(
        self,
        done: int,
        loss: float,
        norm: float,
        seen: Any,
        seconds: float,
        validation: Mapping[str, float],
    ) -> None:
        """Append what happened in the step to the logs (rank 0)."""
        line = self.meter.line(done, loss, self.plan.learning_rate(done - 1), norm, seconds)
        self.metrics.append({**line, **validation})
        self.seen.append({"step": done, "windows": seen})

    def checkpoint(self, done: int) -> None:
        """Keep the state after `done` steps, unless it is kept.

        Rank 0 copies it while the others wait, and writes the copy while training goes on; the last
        state is written as it lies.
        """
        if done == self.saved:
            return
        self.saved = done
        if self.group.rank == 0:
            self.writer.wait()
        tensors = self._snapshot(last=done == self.plan.steps)
        if self.group.rank == 0:
            note = self._note(done)
            self.writer.start(lambda: self._write(done, tensors, note))
        self.group.barrier()

    def close(self) -> None:
        """Wait for what is being written, and let go of files."""
        self.metrics.close()
        self.seen.close()
        self.writer.close()

    def release(self) -> None:
        """At the end: the model that was given has its parameters, and its passes are its own."""
        self.state.release()
        as_it_was(self.given)

    def _write(self, done: int, tensors: Mapping[str, Tensor], note: dict[str, Any]) -> None:
        for name in (METRICS, SEEN):
            sync_file(self.work / name)  # no step of a checkpoint is missing in the logs
        if done == self.plan.trunk_at:  # first, so that no resume can pass over it
            checkpoints.save(self.work / TRUNK, tensors, note)
        root = self.work / CHECKPOINTS
        checkpoints.save(checkpoints.step_folder(root, done), tensors, note)
        checkpoints.prune(root, self._kept(checkpoints.steps(root)))

    def _kept(self, steps: Sequence[int]) -> set[int]:
        """The newest checkpoint, the last few of those to go back to, and one at each interval."""
        regular = [step for step in steps if self._is_regular(step)]
        every = self.plan.keep_every
        kept = {step for step in steps if every is not None and step % every == 0}
        return kept | {steps[-1], *regular[-self.plan.keep_last :]}

    def _note(self, done: int) -> dict[str, Any]:
        return {
            "step": done,
            "tokens": done * self.plan.tokens_per_step,
            "identity": self.plan.identity_at(done),
            "environment": self.environment,
            "incidents": asdict(self.incidents),
            "random": {"seed": self.plan.seed, "derived_from": ["seed", "step", "part"]},
            "layout": [[name, list(shape), at] for name, shape, at in self.state.layout.places],
        }
