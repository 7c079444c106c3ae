"""Where a run's parameters, gradients and moments lie: which of the three ways it takes."""

from functools import partial

import torch
from torch import nn

from llm.training.batch import Objective
from llm.training.plan import TrainingPlan
from llm.training.ranks.rank import Group
from llm.training.ways.accelerated import Accelerated
from llm.training.ways.compiling import compile_model
from llm.training.ways.flat import Flat

STATE_BYTES = 16  # a parameter, its gradient and two moments in float32
SHARE = 3  # of a GPU's memory: activations, and the parameters as they are cast, take the rest


def state_for(
    model: nn.Module, objective: Objective, plan: TrainingPlan, group: Group
) -> Flat | Accelerated:
    """The state of a run of `model`, compiled if the plan says so.

    On the CPU flat buffers that all ranks share, unless the machine names another way. Raises
    BadInput for an optimizer that the way cannot have.
    """
    device = next(model.parameters()).device
    compiled = plan.compiles_on(device.type)
    prepare = partial(compile_model, by_block=True) if compiled else _leave
    way = plan.parallelism
    if way == "auto" and device.type == "cuda":
        way = "fsdp" if _is_too_large(model, plan, group, device) else "ddp"
    if way == "fsdp":
        from llm.training.ways.sharded import (
            Sharded,  # FSDP's imports take a second, the CPU needs none
        )

        return Sharded(model, objective, group, prepare)
    if compiled:
        compile_model(model, by_block=group.size > 1 and way == "ddp")
    if way == "ddp":
        from llm.training.ways.replicated import Replicated

        return Replicated(model, objective, group)
    return Flat(model, plan.parts, group)


def _leave(model: nn.Module) -> None:
    """For a model that is not compiled."""


def _is_too_large(model: nn.Module, plan: TrainingPlan, group: Group, device: torch.device) -> bool:
    """Whether several GPUs had better share the parameters out; Muon needs them whole."""
    if group.size == 1 or plan.optimizer.type == "muon":
        return False
    state = STATE_BYTES * sum(parameter.numel() for parameter in model.parameters())
    return state > torch.cuda.get_device_properties(device).total_memory / SHARE
