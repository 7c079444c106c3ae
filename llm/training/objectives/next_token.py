"""The next token (Radford et al. 2018): what a decoder is trained on, and what fine-tuning asks of answers."""

from typing import ClassVar, Self

from tokenizers import Tokenizer
from torch import Tensor, nn

from llm.training.batch import BatchSource, Tensors
from llm.training.objectives.settings import ObjectiveSettings


class NextToken:
    """-ln p of each target, given the tokens before it, as the model itself sums it.

    marks: special tokens that a tokenizer must have.
    """

    marks: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, settings: ObjectiveSettings, tokenizer: Tokenizer, seed: int) -> Self:
        """The objective of a recipe: there is nothing to set."""
        return cls()

    def batches(self, source: BatchSource, rows: int) -> BatchSource:
        """Those of `source`."""
        return source

    def loss(self, model: nn.Module, batch: Tensors) -> Tensor:
        """Summed over the targets, in nats."""
        nats: Tensor = model.loss(**batch)  # type: ignore[operator]
        return nats
