"""Which layout of `transformers` a model fits, and which field keeps it out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm.models.config import ModelConfig

NO_CAPS = {"attention_soft_cap": (None,), "logit_soft_cap": (None,)}
NO_WINDOW = {"window": (None,), "full_attention_every": (None,)}
LLAMA_LIKE: Mapping[str, tuple[Any, ...]] = {
    "architecture": ("decoder",),
    "norm": ("rmsnorm",),
    "norm_position": ("pre",),
    "positions": ("rope",),
    "feed_forward": ("swiglu",),
    **NO_CAPS,
}
PLAIN_FEED_FORWARD = ("gelu", "gelu_tanh", "relu2")

# The values that each layout can say, for the fields that it does not leave free.
ALLOWED: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "qwen3": {**LLAMA_LIKE, "qk_norm": (True,), "bias": (False,)},
    "llama": {**LLAMA_LIKE, "qk_norm": (False,), **NO_WINDOW},
    "mistral": {
        **LLAMA_LIKE,
        "qk_norm": (False,),
        "bias": (False,),
        "full_attention_every": (None,),
    },
    "gpt2": {
        "architecture": ("decoder",),
        "norm": ("layernorm",),
        "norm_position": ("pre",),
        "positions": ("learned",),
        "feed_forward": PLAIN_FEED_FORWARD,
        "qk_norm": (False,),
        **NO_WINDOW,
        **NO_CAPS,
    },
    "bert": {
        "architecture": ("encoder",),
        "norm": ("layernorm",),
        "norm_position": ("post",),
        "positions": ("learned",),
        "feed_forward": PLAIN_FEED_FORWARD,
        "bias": (True,),
        "qk_norm": (False,),
        "tie_embeddings": (True,),
        "head_transform": (True,),
        **NO_WINDOW,
        **NO_CAPS,
    },
}


def layout_of(config: "ModelConfig") -> str | None:
    """The layout's model_type in transformers; None when the model fits none."""
    return _nearest(config) if misfit(config) is None else None


def misfit(config: "ModelConfig") -> str | None:
    """The first field that keeps the model out of the layout nearest to it; None when it fits."""
    layout = _nearest(config)
    for field, allowed in ALLOWED[layout].items():
        if getattr(config, field) not in allowed:
            return field
    if layout in ("gpt2", "bert"):
        if config.kv_heads != config.heads:
            return "kv_heads"
        if config.head_dim * config.heads != config.d_model:
            return "head_dim"
    if layout == "bert" and config.token_types < 1:
        return "token_types"
    return None


def _nearest(config: "ModelConfig") -> str:
    if config.architecture == "encoder":
        return "bert"
    if config.norm == "layernorm" or config.positions == "learned":
        return "gpt2"
    if config.qk_norm:
        return "qwen3"
    return "llama" if config.window is None else "mistral"
