"""A larger vocabulary for a model that is trained already: rows for tokens that were added to it."""

from collections.abc import Mapping

import torch
from torch import Tensor

# The parameters that have a row, or a number, for each token.
ROWS = ("embedding", "head", "transform.bias")


def grown(state: Mapping[str, Tensor], vocabulary: int) -> dict[str, Tensor]:
    """A model's parameters by name with rows for `vocabulary` tokens; those there stay as they are.

    A new row is the mean of the old ones. A token with the mean of the head's rows and biases is
    never likelier than the old tokens are on average, so what the model says hardly changes (Hewitt
    2021, Initializing New Word Embeddings for Pretrained Language Models). As transformers'
    resize_token_embeddings does, but for its noise (1e-9 of the covariance) and for a tied head's
    biases, which it sets to zero. Raises ValueError for fewer tokens than there are.
    """
    larger = dict(state)
    for name in ROWS:
        old = state.get(name)
        if old is None:
            continue
        if len(old) > vocabulary:
            raise ValueError(f"{name} has {len(old)} rows, more than {vocabulary}: none is dropped")
        mean = old.mean(0, keepdim=True, dtype=torch.float64).to(old.dtype)
        larger[name] = torch.cat([old, mean.expand(vocabulary - len(old), *old.shape[1:])])
    return larger
