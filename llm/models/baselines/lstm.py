"""A language model of LSTM layers (Hochreiter and Schmidhuber 1997), trained by truncated
backpropagation through time: the state goes on over a whole row, gradients over `bptt` tokens.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.baselines.config import LSTMConfig
from llm.models.baselines.language_model import LanguageModel


class LSTM(LanguageModel):
    """Embedding, LSTM layers of the same width, and the embedding again as the head."""

    def __init__(self, config: LSTMConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__(config.vocabulary, config.d_model, compute_dtype)
        self.config = config
        self.core = nn.LSTM(config.d_model, config.d_model, config.layers, batch_first=True)

    def initialise(self, seed: int) -> None:
        """Set every parameter, the same for the same seed on every machine.

        Matrices are normal with standard deviation 1/sqrt(inputs), the embedding 0.02; biases are
        zero, but that the forget gates' is 1, so that at first the state is kept (Jozefowicz et
        al., An Empirical Exploration of Recurrent Network Architectures, 2015).
        """
        generator = torch.Generator().manual_seed(seed)
        width = self.config.d_model
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 1:
                    parameter.zero_()
                    if ".bias_ih" in name:
                        parameter[width : 2 * width] = 1.0  # gates: input, forget, cell, output
                else:
                    deviation = 0.02 if name == "embedding" else 1 / math.sqrt(width)
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)

    def mix(self, x: Tensor) -> Tensor:
        """x (B, T, d_model) → the last layer's outputs, (B, T, d_model)."""
        config = self.config
        x = F.dropout(x, config.dropout, self.training)
        # Parameters are cast where they are used, as everywhere here; nn.LSTM itself would not.
        weights = [parameter.to(x.dtype) for parameter in self.core.parameters()]
        empty = x.new_zeros(config.layers, len(x), config.d_model)
        state = [empty, empty]
        outputs = []
        for piece in x.split(config.bptt if torch.is_grad_enabled() else x.shape[1], dim=1):
            output, *state = torch.lstm(
                piece,
                tuple(each.detach() for each in state),
                weights,
                True,  # biases
                config.layers,
                config.dropout,
                self.training,
                False,  # both directions
                True,  # the batch comes first
            )
            outputs.append(output)
        return F.dropout(torch.cat(outputs, 1), config.dropout, self.training)
