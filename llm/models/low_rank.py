"""Low-rank changes of a model's matrices: W + (alpha / rank) B A (LoRA, Hu et al., arXiv 2106.09685).

W stays as it is, A and B are learned. Where nothing of a change's input is dropped out, the sum is made
once a pass, so that a layer is as fast as without its change; what W's gradient would have told is never
made, only what A and B need of it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.layers import Dropout, Linear


class LowRank(nn.Module):
    """The change of one linear map: down (rank, inputs) is A, up (outputs, rank) is B.

    scale: alpha / rank. dropout: the share of the change's inputs that is zeroed in training. At first
    B is zero, so the change is none, and A is as in peft: uniform within 1 / sqrt(inputs).
    """

    def __init__(
        self, layer: Linear, rank: int, alpha: float, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        outputs, inputs = layer.weight.shape
        drawn = torch.rand((rank, inputs), generator=generator)
        limit = inputs**-0.5
        self.down = nn.Parameter(((2 * drawn - 1) * limit).to(layer.weight.device))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=layer.weight.device))
        self.scale = alpha / rank
        self.apart = False  # whether it is never made part of the layer's matrix
        self.dropout = Dropout(dropout)

    @property
    def is_apart(self) -> bool:
        """Whether the change is computed beside the layer now: it may see less of its input."""
        return self.apart or self.dropout.active_share > 0

    def change(self, x: Tensor) -> Tensor:
        """What is added to the layer's outputs for x (..., inputs): (..., outputs)."""
        low = F.linear(self.dropout(x), self.down.to(x.dtype))
        return F.linear(low, self.up.to(x.dtype)) * self.scale

    def added_to(self, weight: Tensor) -> Tensor:
        """The layer's matrix with the change, (outputs, inputs)."""
        return torch.addmm(weight, self.up, self.down, alpha=self.scale)


class NewRows(nn.Module):
    """Rows of a table of embeddings that are learned, while the others stay: those of new tokens.

    ids (k,): which rows they are; rows (k, d_model): their values.
    """

    ids: Tensor
    place: Tensor

    def __init__(self, table: Tensor, ids: list[int]) -> None:
        super().__init__()
        chosen = torch.tensor(ids, device=table.device)
        self.rows = nn.Parameter(table.detach()[chosen].clone())
        self.register_buffer("ids", chosen, persistent=False)
        place = torch.full((len(table),), -1, device=table.device)
        place[chosen] = torch.arange(len(ids), device=table.device)
        self.register_buffer("place", place, persistent=False)

    def embed(self, tokens: Tensor, table: Tensor) -> Tensor:
        """The rows of the table for tokens (...,), (..., d_model): the learned ones as they are now."""
        place = self.place[tokens]
        learned = F.embedding(place.clamp(min=0), self.rows)
        return torch.where((place >= 0)[..., None], learned, F.embedding(tokens, table))

    def in_place(self, table: Tensor) -> Tensor:
        """The whole table (V, d_model) with the learned rows in their places."""
        return table.index_copy(0, self.ids, self.rows)


def low_ranks(model: nn.Module) -> Iterator[tuple[str, Linear, LowRank]]:
    """The linear maps of a model that have a change, by name."""
    for name, module in model.named_modules():
        if isinstance(module, Linear) and module.low_rank is not None:
            yield name, module, module.low_rank


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Make the changes part of the matrices and tables, and all parameters the model's own again."""
    for _, layer, change in list(low_ranks(model)):
        layer.weight.copy_(change.added_to(layer.weight))
        layer.low_rank = None
    for name in ("embedding", "head"):
        new: NewRows | None = getattr(model, f"new_{name}", None)
        if new is not None:
            getattr(model, name).copy_(new.in_place(getattr(model, name)))
            setattr(model, f"new_{name}", None)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
