"""The training loop: from a step to the last, or to a request to stop.

One step, on every rank:
  1. gradients of the parts that are this rank's (part p belongs to rank p mod ranks)   | barrier
  2. this rank's chunks: sum over parts, divide by all targets, note sums of squares    | barrier
  3. clip by the norm of the whole, step this rank's share (Muon: after one more barrier) | barrier
Nothing random is kept from step to step: what a step reads and draws hangs on (seed, step, part).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm.durable import write_json
from llm.training import checkpoints
from llm.training.adamw import FlatAdamW
from llm.training.muon import FlatMuon
from llm.training.optimizer import OptimizerSettings
from llm.training.ranks import Group
from llm.training.reduce import Flat
from llm.training.rows import IGNORE, BatchSource, Rows
from llm.training.work import (
    CHECKPOINTS,
    METRICS,
    SEEN,
    STARTED,
    TRUNK,
    append,
    cut_back,
    sync_file,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides a run of the loop.

    steps: when it ends; tokens_per_step: for metrics; parts: partial gradients of a step.
    learning_rate: by step (from 0). clip: largest gradient norm; None: no limit.
    micro_batch: rows of one forward pass. checkpoint_every: steps.
    trunk_at: a checkpoint after this many steps is also kept as `trunk`. identity: digest of all
    that decides the run up to there, ending: of what decides it from there on; checkpoints of
    another identity are not used.
    """

    steps: int
    tokens_per_step: int
    parts: int
    learning_rate: Callable[[int], float]
    optimizer: OptimizerSettings
    seed: int
    identity: str
    clip: float | None = 1.0
    micro_batch: int = 16
    checkpoint_every: int = 200
    trunk_at: int | None = None
    ending: str = ""

    def identity_at(self, step: int) -> str:
        """What a checkpoint after `step` steps bears: past the trunk, the ending too."""
        inside_decay = self.trunk_at is not None and step > self.trunk_at
        return f"{self.identity}/{self.ending}" if inside_decay else self.identity


def train(
    model: nn.Module,
    batches: BatchSource,
    plan: Plan,
    group: Group,
    work: Path,
    start: Path | None = None,
) -> int:
    """Train `model` in place; returns the steps done: plan.steps, or fewer when asked to stop.

    model.loss(tokens, targets, ...) gives the nats summed over targets that are not IGNORE; it gets by
    name what else the rows have.

    Goes on from the newest whole checkpoint in `work`, else from the checkpoint folder `start`.
    Writes metrics.jsonl, seen.jsonl, checkpoints/ and trunk/ into `work`; the last state is a
    checkpoint too. Raises RuntimeError when the loss is no longer a number.
    """
    run = Run(model, plan, group, work)
    done = run.resume(start)
    device = next(model.parameters()).device
    model.train()
    while done < plan.steps:
        began = time.monotonic()
        for part in range(group.rank, plan.parts, group.size):
            torch.manual_seed(plan.seed + done * plan.parts + part)
            run.flat.collect(part)
            nats, count = gradients(
                model, batches.part(done, part, plan.parts), plan, device, group
            )
            run.flat.losses[part], run.flat.counts[part] = nats, count
        run.flat.stops[group.rank] = float(group.stopping)
        group.barrier()
        if run.flat.stops.any():
            break  # the step is made again after the restart: half a gradient is worth nothing
        loss, norm = run.step(done)
        done += 1
        if group.rank == 0:
            run.note(done, loss, norm, batches.seen(done - 1), time.monotonic() - began)
        if done % plan.checkpoint_every == 0 or done in (plan.steps, plan.trunk_at):
            run.checkpoint(done)
    run.checkpoint(done)
    return done


def gradients(
    model: nn.Module, rows: Rows, plan: Plan, device: torch.device, group: Group
) -> tuple[float, int]:
    """Backward passes over one part, a micro-batch at a time: summed nats, number of targets.

    Gradients of the summed nats add up in the buffer that the parameters' `.grad` point to. Ends
    early when this process is asked to stop.
    """
    nats, count = 0.0, 0
    for first in range(0, len(rows.tokens), plan.micro_batch):
        if group.stopping:
            break
        span = slice(first, first + plan.micro_batch)
        counted = int((rows.targets[span] != IGNORE).sum())
        if not counted:
            continue
        tokens = torch.from_numpy(rows.tokens[span]).to(device)
        targets = torch.from_numpy(rows.targets[span]).to(device)
        extras: dict[str, Any] = {
            name: torch.from_numpy(values).to(device) for name, values in rows.extras(span).items()
        }
        if rows.pairs is not None:
            extras["pair_weight"] = rows.pair_weight
        loss: Tensor = model.loss(tokens, targets, **extras)  # type: ignore[operator]
        loss.backward()
        nats += float(loss.detach())
        count += counted
    return nats, count


class Run:
    """The state of one run on one rank: flat buffers, optimizer, and what is written to disk."""

    def __init__(self, model: nn.Module, plan: Plan, group: Group, work: Path) -> None:
        self.plan, self.group, self.work = plan, group, work
        self.flat = Flat(model, plan.parts, group)
        self.compute_type: torch.dtype = getattr(model, "compute_dtype", torch.float32)
        self.environment = environment(next(model.parameters()).device, plan, model)
        self.optimizer: FlatAdamW | FlatMuon
        self.saved = 0  # the step of the newest checkpoint

    def resume(self, start: Path | None) -> int:
        """Load the newest checkpoint, if any, and cut the logs back to it; the steps done."""
        if self.group.rank == 0:
            self.flat.counts[0] = self._restore(start)
        self.group.barrier()
        self.saved = int(self.flat.counts[0])
        self.optimizer = self._optimizer(self.saved)
        self.group.barrier()  # every rank has read the step before the first one writes its count
        return self.saved

    def _optimizer(self, done: int) -> FlatAdamW | FlatMuon:
        settings = self.plan.optimizer
        if settings.type == "muon":
            return FlatMuon(settings, self.flat, done, self.compute_type)
        return FlatAdamW(settings, self.flat, done)

    def _restore(self, start: Path | None) -> int:
        """Bring back buffers and logs (rank 0); the steps done."""
        warnings: list[str] = []
        root = self.work / CHECKPOINTS
        root.mkdir(parents=True, exist_ok=True)
        found = checkpoints.newest(root, self.plan.identity_at, warnings.append)
        if found is None and start is not None:
            found = checkpoints.read(start)
        if found is not None and found.note["environment"] != self.environment:
            warnings.append(
                f"going on from step {found.step} in another environment ({self.environment}, before: "
                f"{found.note['environment']}): the result is equivalent, not bitwise the same"
            )
        done = found.step if found else 0
        if found:
            found.restore(self._tensors())
        for name in (METRICS, SEEN):
            cut_back(self.work / name, done)
        if done == self.plan.trunk_at and not (self.work / TRUNK).exists():
            checkpoints.save(self.work / TRUNK, self._tensors(), self._note(done))
        write_json(self.work / STARTED, {"step": done, "warnings": warnings})
        return done

    def step(self, done: int) -> tuple[float, float]:
        """Phases 2 and 3 of step `done` (from 0), after the first barrier: loss, gradient norm."""
        self.flat.reduce()
        self.group.barrier()
        norm, loss = self.flat.norm(), self.flat.loss()
        rate = self.plan.learning_rate(done)
        if not (math.isfinite(norm) and math.isfinite(loss)):
            raise RuntimeError(
                f"training diverged at step {done + 1} of {self.plan.steps}: loss {loss}, gradient "
                f"norm {norm}, learning rate {rate:.3g}. Lower schedule.peak_lr (try "
                f"{rate / 3:.1g}), lengthen schedule.warmup_tokens, or lower clip"
            )
        if self.plan.clip is not None and norm > self.plan.clip:
            self.flat.scale_gradient(self.plan.clip / norm)
        if self.optimizer.crosses_shares:
            self.group.barrier()
        self.optimizer.step(rate)
        self.group.barrier()
        return loss, norm

    def note(self, done: int, loss: float, norm: float, seen: Any, seconds: float) -> None:
        """Append what happened in the step to the logs (rank 0)."""
        tokens = done * self.plan.tokens_per_step
        line = {
            "step": done,
            "tokens": tokens,
            "loss": loss,
            "lr": self.plan.learning_rate(done - 1),
            "grad_norm": norm,
            "tokens_per_second": round(self.plan.tokens_per_step / seconds, 1),
        }
        for name, value in ((METRICS, line), (SEEN, {"step": done, "windows": seen})):
            append(self.work / name, value)

    def checkpoint(self, done: int) -> None:
        """Keep the state after `done` steps, unless it is kept (rank 0 writes, the others wait)."""
        if done == self.saved:
            return
        self.saved = done
        if self.group.rank == 0:
            for name in (METRICS, SEEN):
                sync_file(self.work / name)  # no step of a checkpoint is missing in the logs
            if done == self.plan.trunk_at:  # first, so that no resume can pass over it
                checkpoints.save(self.work / TRUNK, self._tensors(), self._note(done))
            root = self.work / CHECKPOINTS
            checkpoints.save(checkpoints.step_folder(root, done), self._tensors(), self._note(done))
            checkpoints.prune(root)
        self.group.barrier()

    def _note(self, done: int) -> dict[str, Any]:
        return {
            "step": done,
            "tokens": done * self.plan.tokens_per_step,
            "identity": self.plan.identity_at(done),
            "environment": self.environment,
            "random": {"seed": self.plan.seed, "derived_from": ["seed", "step", "part"]},
            "layout": [[name, list(shape), at] for name, shape, at in self.flat.layout.places],
        }

    def _tensors(self) -> dict[str, Tensor]:
        flat = self.flat
        return {
            "parameters": flat.parameters,
            "first_moment": flat.first_moment,
            "second_moment": flat.second_moment,
        }


def environment(device: torch.device, plan: Plan, model: nn.Module) -> dict[str, Any]:
    """What bits hang on besides the recipe. Equal environments give equal bits."""
    processor = torch.backends.cpu.get_cpu_capability()
    return {
        "torch": torch.__version__,
        "device": processor if device.type == "cpu" else torch.cuda.get_device_name(device),
        "precision": str(getattr(model, "compute_dtype", torch.float32)).removeprefix("torch."),
        "micro_batch": plan.micro_batch,
    }
