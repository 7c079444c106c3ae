"""All of the model on each GPU: one process, or several whose gradients DistributedDataParallel adds up.

Parameters, their gradients and moments are views of flat buffers in the device's memory, in the layout
of the CPU's: clipping, the optimizer and a checkpoint are a few large operations, not hundreds.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from llm.training.batch import Objective
from llm.training.checkpoints import Checkpoint
from llm.training.optimizers.settings import Optimizer, OptimizerSettings
from llm.training.ranks.rank import Group
from llm.training.ways.accelerated import Accelerated, Loss
from llm.training.ways.flat import Flat


class Replicated(Accelerated):
    """The flat buffers of a model, whole on this rank's device."""

    kind = "ddp"

    def __init__(self, model: nn.Module, objective: Objective, group: Group) -> None:
        super().__init__(model, group)
        self.model = model
        self.flat = Flat(model, 1, Group())  # this rank's own, shared with none
        self.flat.release()  # DDP has to see the gradients
        self.layout = self.flat.layout
        self.flat.collect(0)
        self.parallel: DistributedDataParallel | None = None
        self.loss = Loss(model, objective)
        if group.size > 1:
            for tensor in (self.flat.parameters, *model.buffers()):
                dist.broadcast(tensor, 0)
            architecture = getattr(getattr(model, "config", None), "architecture", None)
            self.parallel = DistributedDataParallel(
                self.loss,
                broadcast_buffers=False,
                init_sync=False,
                # An encoder has heads that not every objective asks.
                find_unused_parameters=architecture != "decoder",
            )
            self.loss = self.parallel

    def clear(self) -> None:
        self.flat.gradients[0].zero_()

    def passing(self, last: bool) -> AbstractContextManager[None]:
        if self.parallel is None or last:
            return nullcontext()
        return self._apart(self.parallel)

    @contextmanager
    def _apart(self, parallel: DistributedDataParallel) -> Iterator[None]:
        with parallel.no_sync():
            yield

    def multiply(self, factor: Tensor) -> None:
        self.flat.gradients[0].mul_(factor)

    def gradient_norm(self) -> Tensor:
        return torch.linalg.vector_norm(self.flat.gradients[0])

    def optimizer(self, settings: OptimizerSettings, done: int, kind: torch.dtype) -> Optimizer:
        return self.flat.optimizer(settings, done, kind)

    def snapshot(self) -> Mapping[str, Tensor]:
        if self.group.rank:
            return {}
        return {name: tensor.to("cpu", copy=True) for name, tensor in self.flat.tensors().items()}

    def restore(self, found: Checkpoint) -> None:
        found.restore(self.flat.tensors())

    def release(self) -> None:
        """Nothing: the model's parameters are views of the buffers."""
