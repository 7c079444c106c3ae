"""The model that a configuration describes."""

from typing import TYPE_CHECKING, cast

import torch

from llm.models.config import ModelConfig
from llm.parts import load

if TYPE_CHECKING:
    from llm.models.decoder import Decoder
    from llm.models.encoder import Encoder
    from llm.models.encoder_decoder import EncoderDecoder


def build(
    config: ModelConfig, compute_type: torch.dtype = torch.float32
) -> "Decoder | Encoder | EncoderDecoder":
    """A model whose parameters are not set yet: `initialise` or load them."""
    made = load("architecture", config.architecture)(config, compute_type)
    return cast("Decoder | Encoder | EncoderDecoder", made)
