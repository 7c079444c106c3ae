"""How surprised a model is by each target, with gradients for whatever is made of the losses.

`loss.summed_loss` makes the gradients of a plain sum at once. Where each loss is weighed by what comes of
others, as preferences are, the weights are known only afterwards: a slice of logits is made again then.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from llm.models.loss import IGNORE, SLICE_ELEMENTS, head_logits, slices


def target_losses(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """-ln p of each target (B, T) from hidden states (B, T, d_model): (B, T) float32 in nats.

    0 where the target is -100: only the others go through the head. No more logits than of one slice
    exist at once.
    """
    flat, wanted = x.flatten(0, 1), targets.flatten()
    index = (wanted != IGNORE).nonzero()[:, 0]
    rows = model.before_head(flat.index_select(0, index))  # type: ignore[operator]
    weight, bias = model.output_matrix(), model.output_bias()  # type: ignore[operator]
    soft_cap: float | None = model.config.logit_soft_cap  # type: ignore[union-attr,assignment]

    def losses(part: Tensor, weight: Tensor, chosen: Tensor) -> Tensor:
        logits = head_logits(part, weight, bias, soft_cap)
        return F.cross_entropy(logits, chosen, reduction="none")

    made = []
    for span in slices(len(rows), len(weight), SLICE_ELEMENTS):
        given = rows[span], weight, wanted[index[span]]
        if torch.is_grad_enabled():
            made.append(checkpoint(losses, *given, use_reentrant=False, preserve_rng_state=False))
        else:
            made.append(losses(*given))
    found = flat.new_zeros(len(flat), dtype=torch.float32)
    if made:
        found = found.index_copy(0, index, torch.cat(made))
    return found.view(targets.shape)
