"""GPT-2's layout. A model without biases fits, too: the file holds zeros, and config.json says so."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.models.config import ModelConfig
from llm.models.layouts.fields import (
    flag,
    head_width,
    named,
    number,
    refuse_others,
    sizes,
    whole,
)
from llm.models.layouts.fit import (
    NO_CAPS,
    NO_WINDOW,
    PLAIN_FEED_FORWARD,
    Allowed,
    outside,
    uneven_heads,
)
from llm.models.layouts.outputs import for_texts, misfit
from llm.models.layouts.table import Stored, Table

WHOLE_MODEL = {
    "embedding": "transformer.wte.weight",
    "positions": "transformer.wpe.weight",
    "head": "lm_head.weight",
    "output_head.classifier.weight": "score.weight",
}
NORMS = {"attention_norm": "ln_1", "feed_forward_norm": "ln_2"}
# GPT-2 keeps linear layers with inputs first, and one for queries, keys and values.
LINEAR = {
    ("attention.query", "attention.key", "attention.value"): "attn.c_attn",
    ("attention.output",): "attn.c_proj",
    ("feed_forward.up",): "mlp.c_fc",
    ("feed_forward.down",): "mlp.c_proj",
}
SIZES = {
    "vocab_size": "vocabulary",
    "n_layer": "layers",
    "n_embd": "d_model",
    "n_head": "heads",
    "n_positions": "context_length",
}
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu": "gelu", "relu2": "relu2"}
# Fields that would change the result, and the values with which they do not. Missing is fine.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "quantization_config": (),
}
ALLOWED: Allowed = {
    "architecture": ("decoder",),
    "norm": ("layernorm",),
    "norm_position": ("pre",),
    "positions": ("learned",),
    "feed_forward": PLAIN_FEED_FORWARD,
    "qk_norm": (False,),
    **NO_WINDOW,
    **NO_CAPS,
}


def misfits(layout: str, config: ModelConfig) -> list[str]:
    """The fields that keep a model out of the layout."""
    return [*outside(config, ALLOWED), *uneven_heads(config), *misfit(config)]


def may_lack(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """How the names of parameters begin that a file need not have: none."""
    return ()


def table(config: ModelConfig, names: list[str]) -> Table:
    """Which of the model's parameters each tensor holds."""
    d, hidden, bias = config.d_model, config.hidden, config.bias
    made = {WHOLE_MODEL[name]: Stored((name,)) for name in names if name in WHOLE_MODEL}
    widths = {"attn.c_attn": 3 * d, "attn.c_proj": d, "mlp.c_fc": hidden, "mlp.c_proj": d}

    def add(theirs: str, ours: tuple[str, ...], width: int, transposed: bool) -> None:
        made[f"{theirs}.weight"] = Stored(tuple(f"{one}.weight" for one in ours), transposed)
        biases = tuple(f"{one}.bias" for one in ours)
        made[f"{theirs}.bias"] = Stored(biases) if bias else Stored((), zeros=(width,))

    for layer in range(config.layers):
        for own, theirs in NORMS.items():
            add(f"transformer.h.{layer}.{theirs}", (f"blocks.{layer}.{own}",), d, False)
        for parts, theirs in LINEAR.items():
            own_parts = tuple(f"blocks.{layer}.{part}" for part in parts)
            add(f"transformer.h.{layer}.{theirs}", own_parts, widths[theirs], True)
    add("transformer.ln_f", ("norm",), d, False)
    return made


def canonical(name: str, config: ModelConfig) -> str | None:
    """The table's name of a tensor in a file; None for one that says nothing new.

    GPT-2 as first published has no prefix, and keeps its masks beside the weights.
    """
    if name.endswith((".attn.bias", ".attn.masked_bias")):
        return None
    if name == "lm_head.weight":
        return None if config.tie_embeddings else name
    return name if name.startswith(("transformer.", "score.")) else f"transformer.{name}"


def repeats(name: str) -> str | None:
    """The tensor that a tensor repeats where weights are tied."""
    return WHOLE_MODEL["embedding"] if name == WHOLE_MODEL["head"] else None


def config_json(config: ModelConfig) -> dict[str, Any]:
    """The config.json with which transformers builds the same decoder."""
    activation = next(theirs for theirs, own in ACTIVATIONS.items() if own == config.feed_forward)
    return {
        "architectures": [for_texts("GPT2LMHeadModel", config)],
        "model_type": "gpt2",
        **{field: getattr(config, name) for field, name in SIZES.items()},
        "n_inner": config.hidden,
        "activation_function": activation,
        "layer_norm_epsilon": config.norm_epsilon,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "tie_word_embeddings": config.tie_embeddings,
        "bias": config.bias,  # read here alone; to transformers, biases that are zero are biases
        "torch_dtype": "float32",
    }


def read_config(path: Path, fields: Mapping[str, Any]) -> ModelConfig:
    """What config.json describes. Raises BadInput naming the field that the decoder cannot do."""
    refuse_others(path, fields, HARMLESS)
    given = sizes(path, fields, SIZES)
    activation = fields.get("activation_function", "gelu_new")
    return ModelConfig(
        **given,
        kv_heads=given["heads"],
        head_dim=head_width(path, given["d_model"], given["heads"], "n_embd and n_head"),
        hidden=whole(path, fields, "n_inner") or 4 * given["d_model"],
        rope_theta=10_000.0,
        norm_epsilon=number(path, fields, "layer_norm_epsilon", 1e-5, least=0),
        tie_embeddings=flag(path, fields, "tie_word_embeddings", True),
        qk_norm=False,
        norm="layernorm",
        positions="learned",
        feed_forward=named(path, "activation_function", activation, ACTIVATIONS),
        bias=flag(path, fields, "bias", True),
        dropout=number(path, fields, "resid_pdrop", 0.1, least=0, below=1),
        initialisation="normal",
    )
