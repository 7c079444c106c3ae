"""A rank of a pretraining run: rank 1 runs out of memory for more than one row."""

import os
import sys
from typing import Any

import torch
from torch import Tensor

from llm.models.decoder import Decoder
from llm.training.pretrain import step as pretrain
from llm.training.ranks import rank


def main() -> int:
    """Run the rank."""
    loss = Decoder.loss

    def tight(self: Decoder, tokens: Tensor, targets: Tensor, **extras: Any) -> Tensor:
        if len(tokens) > 1 and os.environ["RANK"] == "1":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(self, tokens, targets, **extras)

    Decoder.loss = tight  # type: ignore[method-assign, assignment]
    return rank.run(pretrain.train, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
