"""What a fine-tuned model says of whole texts, instead of tokens: labels or values.

A row may hold several texts as segments. Each is told by one state of it, or by the mean of all:
BERT's first token with its pooler (arXiv 1810.04805), a decoder's last token (Radford et al. 2018), an
encoder-decoder's last target token.
"""

import torch
from torch import Tensor, nn

from llm.models.config import ModelConfig
from llm.models.layers import Dropout, Linear


class OutputHead(nn.Module):
    """States of rows to one row of outputs a text."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.outputs is not None, "a model without outputs has no head for them"
        self.pooling = config.outputs.pooling
        # A decoder's layouts have a matrix alone.
        deep = config.architecture != "decoder"
        self.pooler = Linear(config.d_model, config.d_model, bias=True) if deep else None
        self.classifier = Linear(config.d_model, len(config.outputs.labels), bias=deep)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, segments: Tensor) -> Tensor:
        """x (B, T, d_model), segments (B, T), 0 for padding → outputs (texts, labels), float32.

        The texts of a row come in order, those of the first row first.
        """
        states = pooled(x, segments, self.pooling)
        if self.pooler is not None:
            states = torch.tanh(self.pooler(states))
        found: Tensor = self.classifier(self.dropout(states))
        return found.float()


def pooled(x: Tensor, segments: Tensor, pooling: str) -> Tensor:
    """The state of each text: x (B, T, d), segments (B, T), 0 for padding → (texts, d).

    Example, segments 1 1 1 2 2 0: first takes places 0 and 3, last 2 and 4, mean both texts' means.
    """
    begins = segments != 0
    begins[:, 1:] &= segments[:, 1:] != segments[:, :-1]
    if pooling == "first":
        return x[begins]
    if pooling == "last":
        ends = segments != 0
        ends[:, :-1] &= segments[:, :-1] != segments[:, 1:]
        return x[ends]
    there = segments != 0
    owners = begins.flatten().cumsum(0)[there.flatten()] - 1
    count = int(begins.sum())
    sums = x.new_zeros((count, x.shape[-1]), dtype=torch.float32)
    sums = sums.index_add(0, owners, x[there].float())
    sizes = torch.bincount(owners, minlength=count)
    return (sums / sizes[:, None]).to(x.dtype)
