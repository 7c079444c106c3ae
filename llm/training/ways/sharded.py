"""A share of the model on each GPU: FSDP2, for models whose state is too large for one.

Zhao et al., PyTorch FSDP (arXiv 2304.11277); Rajbhandari et al., ZeRO (arXiv 1910.02054), stage 3.
Blocks are gathered one at a time, in the compute type, as they are needed; gradients are added up in
float32. What stands outside blocks (embeddings, head, last norm) is gathered for a whole pass.
"""

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from llm.step import BadInput
from llm.training.batch import Objective
from llm.training.checkpoints import Checkpoint
from llm.training.optimizers.settings import Optimizer, OptimizerSettings
from llm.training.ranks.rank import Group
from llm.training.ways.accelerated import Accelerated, Loss
from llm.training.ways.compiling import is_block
from llm.training.ways.flat import FlatLayout


class Sharded(Accelerated):
    """Each parameter, its gradient and its moments cut along the first dimension, a piece a rank.

    The model that the run was given waits in the processor's memory until the end. prepare: called
    with the copy that is trained, before it is cut up.
    """

    kind = "fsdp"

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        group: Group,
        prepare: Callable[[nn.Module], None],
    ) -> None:
        super().__init__(model, group)
        self.layout = FlatLayout.of(model)
        if not dist.is_initialized():  # a group of one
            backend = "gloo" if self.device.type == "cpu" else "cpu:gloo,cuda:nccl"
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        if group.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.detach(), 0)
        self.model = copy.deepcopy(model)
        self.whole = model.cpu()
        prepare(self.model)
        mesh = init_device_mesh(self.device.type, (group.size,))
        for module in self.model.modules():
            if is_block(module):
                fully_shard(module, mesh=mesh, mp_policy=_precision(self.model, self.device))
        self.loss = Loss(self.model, objective)
        fully_shard(self.loss, mesh=mesh)
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self.first = {name: torch.zeros_like(one) for name, one in self.parameters.items()}
        self.second = {name: torch.zeros_like(one) for name, one in self.parameters.items()}

    def clear(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None

    def passing(self, last: bool) -> AbstractContextManager[None]:
        return (
            nullcontext()
        )  # gradients are cut up at once: whole ones are what there is no room for

    def _gradients(self) -> list[Tensor]:
        for parameter in self.parameters.values():
            if parameter.grad is None:  # no pass came by it
                parameter.grad = torch.zeros_like(parameter)
        return [one.grad for one in self.parameters.values() if one.grad is not None]

    def multiply(self, factor: Tensor) -> None:
        torch._foreach_mul_([_local(one) for one in self._gradients()], factor.to(self.device))

    def gradient_norm(self) -> Tensor:
        norm = nn.utils.get_total_norm(self._gradients())
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def optimizer(self, settings: OptimizerSettings, done: int, kind: torch.dtype) -> Optimizer:
        if settings.type != "adamw":
            raise BadInput(
                f"optimizer.type {settings.type} works on whole matrices, and machine.parallelism fsdp "
                "cuts them up: set parallelism to ddp, or the optimizer to adamw"
            )
        return ShardedAdamW(settings, self, done)

    def snapshot(self) -> Mapping[str, Tensor]:
        found = {}
        for name, pieces in self._tensors().items():
            buffer = torch.zeros(0 if self.group.rank else self.layout.size)
            views = {} if self.group.rank else dict(self.layout.views(buffer))
            for key, _, _ in self.layout.places:
                full = _whole(pieces[key])
                if not self.group.rank:
                    views[key].copy_(full)
            found[name] = buffer
        return found

    def restore(self, found: Checkpoint) -> None:
        with found.opened() as state:
            for name, pieces in self._tensors().items():
                saved = state.get_slice(name)
                for key, shape, offset in self.layout.places:
                    full = saved[offset : offset + math.prod(shape)].view(shape)
                    piece = pieces[key]
                    assert isinstance(piece, DTensor)
                    mine = distribute_tensor(  # each rank has read it all: nothing is sent
                        full.to(self.device),
                        piece.device_mesh,
                        piece.placements,
                        src_data_rank=None,
                    )
                    _local(piece).copy_(_local(mine))

    def release(self) -> None:
        for name, parameter in self.whole.named_parameters():
            full = _whole(self.parameters[name])
            if not self.group.rank:
                parameter.data.copy_(full)
        if not self.group.rank:
            self.whole.to(self.device)

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """By the names of a checkpoint's buffers, the pieces of every parameter."""
        return {
            "parameters": self.parameters,
            "first_moment": self.first,
            "second_moment": self.second,
        }


def _precision(model: nn.Module, device: torch.device) -> MixedPrecisionPolicy:
    """Blocks cast their parameters themselves; on GPUs they may as well travel in that type."""
    kind = getattr(model, "compute_dtype", torch.float32)
    if device.type == "cpu" or kind == torch.float32:
        return MixedPrecisionPolicy(cast_forward_inputs=False)
    return MixedPrecisionPolicy(
        param_dtype=kind, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def _local(tensor: Tensor) -> Tensor:
    """This rank's piece."""
    assert isinstance(tensor, DTensor)
    return tensor.to_local().detach()


def _whole(tensor: Tensor) -> Tensor:
    """The tensor that all ranks' pieces make up; all ranks take part."""
    assert isinstance(tensor, DTensor)
    return tensor.full_tensor().detach()


class ShardedAdamW:
    """torch.optim.AdamW, fused, on this rank's pieces."""

    crosses_shares = False

    def __init__(self, settings: OptimizerSettings, state: Sharded, done: int) -> None:
        groups: list[dict[str, object]] = []
        for matrices, decay in ((True, settings.weight_decay), (False, 0.0)):
            kind = [one for one in state.parameters.values() if (one.ndim >= 2) == matrices]
            if kind:
                groups.append({"params": kind, "weight_decay": decay})
        self.inner = torch.optim.AdamW(
            groups, betas=settings.betas, eps=settings.epsilon, fused=True
        )
        for name, parameter in state.parameters.items():
            self.inner.state[parameter] = {
                "step": torch.tensor(float(done), device=state.device),
                "exp_avg": state.first[name],
                "exp_avg_sq": state.second[name],
            }

    def step(self, learning_rate: float) -> None:
        """Update this rank's pieces from the finished gradient."""
        for group in self.inner.param_groups:
            group["lr"] = learning_rate
        self.inner.step()
