"""Small model folders for the evaluation tests: random weights, a tokenizer of all bytes."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from llm.models import folder as model_folder
from llm.models.config import ModelConfig
from llm.models.decoder import Decoder
from llm.tokens.special import SPECIAL_TOKENS

CONTEXT = 64


def write_tokenizer(path: Path) -> Path:
    """A byte-level BPE with the special tokens, the 256 bytes and two merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*SPECIAL_TOKENS, *alphabet, "th", "in"]
    tokenizer = Tokenizer(
        BPE({word: index for index, word in enumerate(words)}, [("t", "h"), ("i", "n")])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.save(str(path))
    return path


def write_model(artifact: Path, zero: bool = False, seed: int = 1) -> Decoder:
    """Save a small decoder to artifact/model; zero: one that finds all tokens equally likely."""
    artifact.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(artifact / "tokenizer.json")
    config = ModelConfig(
        vocabulary=Tokenizer.from_file(str(tokenizer)).get_vocab_size(),
        layers=2,
        d_model=32,
        heads=2,
        kv_heads=1,
        head_dim=16,
        hidden=64,
        context_length=CONTEXT,
        rope_theta=10_000.0,
        norm_epsilon=1e-6,
        tie_embeddings=True,
        qk_norm=True,
    )
    model = Decoder(config)
    model.initialise(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if zero:
                parameter.zero_()
            elif parameter.ndim == 2:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(seed))
    model_folder.save(model, artifact / "model", tokenizer)
    return model.eval()
