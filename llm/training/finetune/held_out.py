"""The loss on held-out rows: the call that training makes, without gradients."""

import numpy as np
import torch
from torch import nn

from llm.training.batch import Objective
from llm.training.finetune.task import Rows


@torch.no_grad()
def mean_loss(model: nn.Module, objective: Objective, rows: Rows, most: int) -> float | None:
    """The mean loss over what is learned in the first `most` rows; None where nothing is."""
    total = learned = 0.0
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    for number in range(min(most, len(rows))):
        batch = rows.read(np.array([number]))
        total += float(objective.loss(model, batch.tensors(slice(None), device)))
        learned += float(batch.learned.sum())
    model.train(was_training)
    return total / learned if learned else None
