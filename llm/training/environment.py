"""What the bits of a training run depend on besides its recipe, so that a checkpoint can say it."""

from typing import Any

import torch
from torch import nn

from llm.models.kernels import availability
from llm.training.plan import TrainingPlan
from llm.training.ranks.rank import Group
from llm.training.ways.accelerated import Accelerated
from llm.training.ways.flat import Flat


def environment(
    model: nn.Module, plan: TrainingPlan, state: Flat | Accelerated, group: Group
) -> dict[str, Any]:
    """The model's device and type, and with what it is trained there. Equal ones give equal bits."""
    device = next(model.parameters()).device
    processor = torch.backends.cpu.get_cpu_capability()
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "device": processor if device.type == "cpu" else torch.cuda.get_device_name(device),
        "precision": str(getattr(model, "compute_dtype", torch.float32)).removeprefix("torch."),
        "micro_batch": plan.micro_batch,
        "kernels": availability.made_by() if device.type == "cpu" else "",
    }
    if plan.compiles_on(device.type):
        found["compiled"] = True
    if isinstance(state, Accelerated):  # ranks share nothing but gradients
        found |= {"parallelism": state.kind, "processes": group.size}
    return found
