"""What a preset decides: an architecture's style, and for the named models their sizes too.

A recipe's own fields go before the preset's, so a preset is a start, not a cage.
"""

import difflib
from collections.abc import Mapping
from typing import Any

# Sizes of a style without sizes of its own, and what every style has unless it says otherwise:
# the modern block (pre-norm, RMSNorm, RoPE, SwiGLU, no biases).
COMMON: Mapping[str, Any] = {
    "architecture": "decoder",
    "layers": 4,
    "d_model": 256,
    "context_length": 256,
    "norm": "rmsnorm",
    "norm_position": "pre",
    "norm_epsilon": 1e-6,
    "positions": "rope",
    "rope_theta": 10_000.0,
    "feed_forward": "swiglu",
    "bias": False,
    "qk_norm": False,
    "tie_embeddings": True,
    "dropout": 0.0,
    "initialisation": "identity",
    "token_types": 0,
    "next_sentence": False,
    "head_transform": False,
}

QWEN3 = {"qk_norm": True}
LLAMA: Mapping[str, Any] = {}
# Radford et al., Language Models are Unsupervised Multitask Learners (2019), as published.
GPT2 = {
    "norm": "layernorm",
    "norm_epsilon": 1e-5,
    "positions": "learned",
    "feed_forward": "gelu_tanh",
    "bias": True,
    "initialisation": "normal",
}
# Devlin et al., BERT (arXiv 1810.04805), as published.
BERT = {
    "architecture": "encoder",
    "norm": "layernorm",
    "norm_position": "post",
    "norm_epsilon": 1e-12,
    "positions": "learned",
    "feed_forward": "gelu",
    "bias": True,
    "dropout": 0.1,
    "initialisation": "normal",
    "token_types": 2,
    "next_sentence": True,
    "head_transform": True,
}
# Lewis et al., BART (arXiv 1910.13461), as published.
BART = {
    "architecture": "encoder_decoder",
    "norm": "layernorm",
    "norm_position": "post",
    "norm_epsilon": 1e-5,
    "positions": "learned",
    "feed_forward": "gelu",
    "bias": True,
    "dropout": 0.1,
    "initialisation": "normal",
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "qwen3": QWEN3,
    "llama": LLAMA,
    "gpt2": GPT2,
    "bert": BERT,
    "bart": BART,
    # nanoGPT's setting for Shakespeare on a CPU: GPT-2 without biases, with the exact GELU.
    "nanogpt-tiny": {
        **GPT2,
        "feed_forward": "gelu",
        "bias": False,
        "layers": 4,
        "d_model": 128,
        "heads": 4,
        "context_length": 64,
    },
    "gpt2-small": {**GPT2, "layers": 12, "d_model": 768, "heads": 12, "context_length": 1024},
    "bert-base": {**BERT, "layers": 12, "d_model": 768, "heads": 12, "context_length": 512},
    # The sizes that many papers since GaLore (arXiv 2403.03507) compare at, with vocabularies of
    # about 32,000; the feed-forward layer is rounded up to a multiple of 64, which hardware likes.
    "llama-60m": {"tie_embeddings": False, "layers": 8, "d_model": 512, "heads": 8}
    | {"context_length": 1024},
    "llama-350m": {"tie_embeddings": False, "layers": 24, "d_model": 1024, "heads": 16}
    | {"context_length": 1024},
    "llama-1b": {"tie_embeddings": False, "layers": 24, "d_model": 2048, "heads": 32}
    | {"context_length": 2048},
}


def preset_values(preset: str) -> Mapping[str, Any]:
    """Every field that a preset decides, with its value. Raises ValueError for an unknown one."""
    if preset not in PRESETS:
        near = difflib.get_close_matches(preset, PRESETS, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them"
        raise ValueError(f"model: preset {preset!r} is none of {', '.join(PRESETS)}: {hint}")
    return {**COMMON, **PRESETS[preset]}
