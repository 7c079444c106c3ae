"""What the states of a run on GPUs have in common, however its parameters are shared out.

On the CPU a run's state lies in memory that all ranks share (reduce.py). On GPUs each rank has its
own, in one of two ways: all of the model (replicated.py) or a share of it (sharded.py). Both run on
the CPU too, over gloo, where a machine asks for them.

A gradient that crosses ranks is the mean of theirs, as PyTorch makes it: of summed nats over ranks.
Times ranks, divided by all targets of the step, that is the gradient of the mean over targets.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from llm.training.batch import Objective, Tensors
from llm.training.checkpoints import Checkpoint
from llm.training.optimizers.settings import Optimizer, OptimizerSettings
from llm.training.ranks.rank import Group
from llm.training.ways.flat import FlatLayout


class Loss(nn.Module):
    """An objective on a model as a forward pass, which is what PyTorch's ways watch."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Tensors) -> Tensor:
        return self.objective.loss(self.model, batch)


class Accelerated(ABC):
    """Parameters, gradients and moments on a device of this rank's own, stepped in time with others.

    model: what is called and measured. A checkpoint has the layout of the CPU's flat buffers, so
    that a run goes on in any way from what another wrote.
    """

    kind: str  # of parallelism, for the record
    layout: FlatLayout
    model: nn.Module
    loss: Callable[[Tensors], Tensor]  # the objective's; makes gradients meet where that is its way

    def __init__(self, model: nn.Module, group: Group) -> None:
        self.group = group
        self.device = next(model.parameters()).device
        self._loss = self._norm = 0.0

    def agree(self, stopping: bool, passes: int) -> tuple[bool, int]:
        """Whether any rank is asked to stop, and the most micro-batches that a rank has.

        Asked before a step, for a rank that leaves in the middle of one leaves the others waiting.
        """
        if self.group.size > 1:
            votes = torch.tensor([int(stopping), passes])
            dist.all_reduce(votes, dist.ReduceOp.MAX)
            stopping, passes = bool(votes[0]), int(votes[1])
        return stopping, passes

    def finish(self, loss: Tensor, learned: float) -> None:
        """After the last backward pass: make the gradient that of the mean over all that is learned.

        loss: summed on this rank, a float64 scalar on the device; learned: how much it is of. Waits
        for the device once.
        """
        totals = torch.stack([loss, loss.new_tensor(learned)])
        if self.group.size > 1:
            dist.all_reduce(totals)
        count = torch.where(totals[1] > 0, totals[1], 1.0)
        self.multiply((self.group.size / count).float())
        figures = torch.stack([totals[0] / count, self.gradient_norm().double()])
        self._loss, self._norm = figures.tolist()

    def figures(self) -> tuple[float, float]:
        """Mean loss of the step, and the Euclidean norm of their gradient."""
        return self._loss, self._norm

    def scale_gradient(self, factor: float) -> None:
        """Multiply the whole gradient."""
        self.multiply(torch.tensor(factor))

    # What the two ways do differently:

    @abstractmethod
    def clear(self) -> None:
        """Set the gradient to zero."""

    @abstractmethod
    def passing(self, last: bool) -> AbstractContextManager[None]:
        """Round a forward and backward pass; last: of the step, on this rank."""

    @abstractmethod
    def multiply(self, factor: Tensor) -> None:
        """Multiply the whole gradient by a float32 scalar."""

    @abstractmethod
    def gradient_norm(self) -> Tensor:
        """The Euclidean norm of the whole gradient, a float32 scalar on the device."""

    @abstractmethod
    def optimizer(self, settings: OptimizerSettings, done: int, kind: torch.dtype) -> Optimizer:
        """What steps the parameters, with `done` steps behind it. kind: of matrix products."""

    @abstractmethod
    def snapshot(self) -> Mapping[str, Tensor]:
        """Copies of parameters and moments as flat buffers in the processor's memory.

        All ranks take part; only rank 0's has what is to be kept.
        """

    @abstractmethod
    def restore(self, found: Checkpoint) -> None:
        """Take parameters and moments from a checkpoint; all ranks take part."""

    @abstractmethod
    def release(self) -> None:
        """Put the parameters back into the model that the run was given (rank 0's at least)."""
