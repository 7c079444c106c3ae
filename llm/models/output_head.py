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

    def forward(self, x: Tensor) -> Tensor:
        """The states of texts (texts, d), see `pooled` → outputs (texts, labels), float32."""
        if self.pooler is not None:
            x = torch.tanh(self.pooler(x))
        found: Tensor = self.classifier(self.dropout(x))
        return found.float()


def told_by(segments: Tensor, pooling: str) -> Tensor | None:
    """The places whose states tell a text, (B, T) bool, in the order of the texts; None for mean.

    Example, segments 1 1 1 2 2 0: first takes places 0 and 3, last 2 and 4.
    """
    if pooling == "mean":
        return None
    found, other = segments != 0, segments[:, 1:] != segments[:, :-1]
    if pooling == "first":
        found[:, 1:] &= other
    else:
        found[:, :-1] &= other
    return found


def pooled(x: Tensor, segments: Tensor, pooling: str) -> Tensor:
    """The state of each text: x (B, T, d), segments (B, T), 0 for padding → (texts, d).

    The texts of a row come in order, those of the first row first. mean: of all states of a text.
    """
    read = told_by(segments, pooling)
    if read is not None:
        return x[read]
    begins, there = told_by(segments, "first"), segments != 0
    assert begins is not None
    owners = begins.flatten().cumsum(0)[there.flatten()] - 1
    count = int(begins.sum())
    sums = x.new_zeros((count, x.shape[-1]), dtype=torch.float32)
    sums = sums.index_add(0, owners, x[there].float())
    sizes = torch.bincount(owners, minlength=count)
    return (sums / sizes[:, None]).to(x.dtype)
