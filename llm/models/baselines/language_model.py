"""What the LSTM and the CNN share: an embedding that is the head too, and losses from it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.baselines.segments import apart
from llm.models.loss import summed_loss, token_losses


class LanguageModel(nn.Module):
    """A causal model of tokens: a subclass says how embeddings become what the head reads.

    Parameters are float32; `compute_dtype` (float32 or bfloat16) is what activations are in. The
    loss is float32 either way. Parameters of a new model are not set: initialise or load them.
    """

    def __init__(self, vocabulary: int, d_model: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.compute_dtype = compute_dtype
        self.embedding = nn.Parameter(torch.empty(vocabulary, d_model))

    def mix(self, x: Tensor) -> Tensor:
        """x (B, T, d_model) → the same shape: each position from itself and those before it."""
        raise AssertionError("a language model mixes positions in its own way")

    def hidden_states(self, tokens: Tensor, segments: Tensor | None = None) -> Tensor:
        """tokens (B, T) → what the head reads, (B, T, d_model) in the compute type.

        segments (B, T): a token sees only those of its own run of equal segments.
        """
        taken = None if segments is None else apart(tokens, segments)
        x = F.embedding(tokens if taken is None else taken.rows, self.embedding)
        x = self.mix(x.to(self.compute_dtype))
        return x if taken is None else taken.together(x)

    def forward(self, tokens: Tensor, segments: Tensor | None = None) -> Tensor:
        """tokens (B, T) → logits (B, T, vocabulary), float32."""
        x = self.hidden_states(tokens, segments)
        return F.linear(x, self.output_matrix().to(x.dtype)).float()

    def loss(self, tokens: Tensor, targets: Tensor, segments: Tensor | None = None) -> Tensor:
        """Sum over targets (B, T) of -ln p(target | tokens so far): a float32 scalar, in nats.

        Targets of -100 count nothing.
        """
        x = self.hidden_states(tokens, segments).flatten(0, 1)
        return summed_loss(x, self.output_matrix(), targets.flatten())

    def row_losses(self, x: Tensor, targets: Tensor) -> Tensor:
        """-ln p(target) of hidden states (N, d_model): (N,) float32 in nats, without gradients."""
        return token_losses(x, self.output_matrix(), targets)

    def output_matrix(self) -> Tensor:
        """The head's weights (vocabulary, d_model): the embedding's."""
        return self.embedding
