"""The model that a configuration describes."""

import torch

from llm.models.config import ModelConfig
from llm.models.decoder import Decoder
from llm.models.encoder import Encoder
from llm.models.encoder_decoder import EncoderDecoder

Model = Decoder | Encoder | EncoderDecoder
ARCHITECTURES: dict[str, type[Decoder] | type[Encoder] | type[EncoderDecoder]] = {
    "decoder": Decoder,
    "encoder": Encoder,
    "encoder_decoder": EncoderDecoder,
}


def build(config: ModelConfig, compute_type: torch.dtype = torch.float32) -> Model:
    """A model whose parameters are not set yet: `initialise` or load them."""
    return ARCHITECTURES[config.architecture](config, compute_type)
