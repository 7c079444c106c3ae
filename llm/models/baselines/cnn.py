"""A language model of causal convolutions with gates and residuals, wider apart layer by layer.

van den Oord et al., WaveNet (arXiv 1609.03499), sections 2.1 to 2.4, with RMSNorm before each
layer. With kernel 2 and dilations 1, 2, 4 a prediction sees 8 tokens, with three products each:

    dilation 4   o-------o
    dilation 2       o---o           o: what a layer reads to make its newest output
    dilation 1         o-o
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.baselines.config import CNNConfig
from llm.models.baselines.language_model import LanguageModel
from llm.models.layers import Linear
from llm.models.norms import RMSNorm

NORM_EPSILON = 1e-6


class CausalConvolution(nn.Module):
    """Each output from the inputs 0, dilation, 2 dilation, ... before it; zeros before the start.

    One product over the shifted copies side by side: processors multiply wide matrices faster than
    they convolve with gaps.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel, self.dilation = kernel, dilation
        self.taps = Linear(kernel * inputs, outputs)  # the newest input's columns come first

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        shifts = [min(tap * self.dilation, length) for tap in range(self.kernel)]
        copies = [F.pad(x[:, : length - shift], (0, 0, shift, 0)) for shift in shifts]
        return self.taps(torch.cat(copies, -1))


class Layer(nn.Module):
    """x + output(tanh(signal) * sigmoid(gate)), both convolutions of the normalised x."""

    def __init__(self, config: CNNConfig, dilation: int) -> None:
        super().__init__()
        width = config.d_model
        self.norm = RMSNorm(width, NORM_EPSILON)
        self.convolution = CausalConvolution(width, 2 * width, config.kernel, dilation)
        self.output = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        signal, gate = self.convolution(self.norm(x)).chunk(2, dim=-1)  # (B, T, d_model) each
        return x + self.output(torch.tanh(signal) * torch.sigmoid(gate))


class CNN(LanguageModel):
    """Embedding, gated convolutions, a last norm, and the embedding again as the head."""

    def __init__(self, config: CNNConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__(config.vocabulary, config.d_model, compute_dtype)
        self.config = config
        self.layers = nn.ModuleList(Layer(config, dilation) for dilation in config.dilations)
        self.norm = RMSNorm(config.d_model, NORM_EPSILON)

    def initialise(self, seed: int) -> None:
        """Set every parameter, the same for the same seed on every machine.

        Matrices are normal with standard deviation 1/sqrt(inputs), the embedding 0.02; those that
        write to the residual stream start at zero, norms at one.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 1:
                    parameter.fill_(1.0)
                elif name.endswith("output.weight"):
                    parameter.zero_()
                else:
                    deviation = 0.02 if name == "embedding" else 1 / math.sqrt(parameter.shape[1])
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)

    def mix(self, x: Tensor) -> Tensor:
        """x (B, T, d_model) → the last norm's outputs, (B, T, d_model)."""
        for layer in self.layers:
            x = layer(x)
        normed: Tensor = self.norm(x)
        return normed
