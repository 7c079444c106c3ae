"""The layouts of Qwen3, Llama and Mistral: one table of names, three ways to say what is in it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.models.config import ModelConfig
from llm.models.layouts.fields import flag, number, part, refuse_others, sizes, whole, words
from llm.models.layouts.fit import NO_CAPS, NO_WINDOW, Allowed, outside
from llm.models.layouts.outputs import for_texts, misfit
from llm.models.layouts.table import Stored, Table
from llm.step import BadInput

ARCHITECTURES = {
    "qwen3": "Qwen3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
}
# Our parameter names and those of the layout; the layers' stand below model.layers.N there.
WHOLE_MODEL = {
    "embedding": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head": "lm_head.weight",
    "output_head.classifier.weight": "score.weight",
}
IN_A_LAYER = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}
SIZES = {
    "vocab_size": "vocabulary",
    "num_hidden_layers": "layers",
    "hidden_size": "d_model",
    "num_attention_heads": "heads",
    "intermediate_size": "hidden",
    "max_position_embeddings": "context_length",
}
# Fields that would change the result, and the values with which they do not. Missing is fine.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "pretraining_tp": (1,),
    "quantization_config": (),
}
FULL, SLIDING = "full_attention", "sliding_attention"
IN_COMMON: Allowed = {
    "architecture": ("decoder",),
    "norm": ("rmsnorm",),
    "norm_position": ("pre",),
    "positions": ("rope",),
    "feed_forward": ("swiglu",),
    **NO_CAPS,
}
ALLOWED: Mapping[str, Allowed] = {
    "qwen3": {**IN_COMMON, "qk_norm": (True,), "bias": (False,)},
    "llama": {**IN_COMMON, "qk_norm": (False,), **NO_WINDOW},
    "mistral": {
        **IN_COMMON,
        "qk_norm": (False,),
        "bias": (False,),
        "full_attention_every": (None,),
    },
}


def misfits(layout: str, config: ModelConfig) -> list[str]:
    """The fields that keep a model out of one of the layouts."""
    return [*outside(config, ALLOWED[layout]), *misfit(config)]


def may_lack(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """How the names of parameters begin that a file need not have: none."""
    return ()


def table(config: ModelConfig, names: list[str]) -> Table:
    """Every tensor holds one of the model's parameters, `names`."""
    return {_layout_name(name): Stored((name,)) for name in names}


def _layout_name(name: str) -> str:
    if name in WHOLE_MODEL:
        return WHOLE_MODEL[name]
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
    assert match is not None, name
    return f"model.layers.{match[1]}.{IN_A_LAYER[match[2]]}.{match[3]}"


def canonical(name: str, config: ModelConfig) -> str | None:
    """The table's name of a tensor in a file; None for one that says nothing new."""
    tied = name == "lm_head.weight" and config.tie_embeddings
    return None if tied or name.endswith("rotary_emb.inv_freq") else name


def repeats(name: str) -> str | None:
    """The tensor that a tensor repeats where weights are tied."""
    return WHOLE_MODEL["embedding"] if name == WHOLE_MODEL["head"] else None


def config_json(config: ModelConfig) -> dict[str, Any]:
    """The config.json with which transformers builds the same decoder."""
    layout = str(config.export)
    fields = {
        "architectures": [for_texts(ARCHITECTURES[layout], config)],
        "model_type": layout,
        **{field: getattr(config, name) for field, name in SIZES.items()},
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": config.bias,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,  # where transformers 4 looks for it, and 5 there:
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tie_embeddings,
        "torch_dtype": "float32",
    }
    if config.bias:
        fields["mlp_bias"] = True
    if config.window is not None:
        fields["sliding_window"] = config.window
        if layout == "qwen3":
            fields["use_sliding_window"] = True
            fields["layer_types"] = [SLIDING if window else FULL for window in config.windows]
    return fields


def read_config(path: Path, fields: Mapping[str, Any]) -> ModelConfig:
    """What config.json describes. Raises BadInput naming the field that the decoder cannot do."""
    layout = fields["model_type"]
    rope = _rope(path, fields)
    refuse_others(path, fields, HARMLESS)
    found = {
        "rope_scaling": rope.get("rope_type", rope.get("type")),
        "partial_rotary_factor": rope.get(
            "partial_rotary_factor", fields.get("partial_rotary_factor")
        ),
    }
    refuse_others(path, found, {"rope_scaling": ("default",), "partial_rotary_factor": (1.0,)})
    given = sizes(path, fields, SIZES)
    heads = given["heads"]
    kv_heads = whole(path, fields, "num_key_value_heads") or heads
    if heads % kv_heads:
        raise BadInput(
            f"{path}: num_key_value_heads {kv_heads} does not divide num_attention_heads {heads}"
        )
    window, every = _windows(path, fields, given["layers"])
    return ModelConfig(
        **given,
        kv_heads=kv_heads,
        head_dim=whole(path, fields, "head_dim") or given["d_model"] // heads,
        rope_theta=number(path, rope, "rope_theta", 10_000.0, above=0),
        norm_epsilon=number(path, fields, "rms_norm_eps", 1e-6, least=0),
        tie_embeddings=flag(path, fields, "tie_word_embeddings", False),
        qk_norm=layout == "qwen3",
        bias=_bias(path, fields),
        window=window,
        full_attention_every=every,
        export=layout,
    )


def _bias(path: Path, fields: Mapping[str, Any]) -> bool:
    """Whether there are biases: in all linear layers, as only Llama's layout can have, or in none."""
    attention = flag(path, fields, "attention_bias", False)
    if fields["model_type"] != "llama":
        refuse_others(path, fields, {"attention_bias": (False,), "mlp_bias": (False,)})
    elif attention != flag(path, fields, "mlp_bias", False):
        raise BadInput(
            f"{path}: attention_bias {attention} is not supported, only with the same mlp_bias"
        )
    return attention


def _windows(path: Path, fields: Mapping[str, Any], layers: int) -> tuple[int | None, int | None]:
    """The sliding window and every how many layers see everything: (None, None) without one."""
    window = whole(path, fields, "sliding_window", least=0)
    kinds = words(path, fields, "layer_types")
    if fields["model_type"] == "llama" or not (
        flag(path, fields, "use_sliding_window", False) or kinds
    ):
        window = window if fields["model_type"] == "mistral" else None
        kinds = [FULL if window is None else SLIDING] * layers
    elif not kinds:
        first = whole(path, fields, "max_window_layers", least=0) or 0
        kinds = [SLIDING if layer >= first else FULL for layer in range(layers)]
    if SLIDING not in kinds:
        refuse_others(
            path, {"layer_types": next(iter({*kinds} - {FULL}), None)}, {"layer_types": ()}
        )
        return None, None
    every = kinds.index(FULL) + 1 if FULL in kinds else None
    wanted = [FULL if every and (n + 1) % every == 0 else SLIDING for n in range(layers)]
    if wanted == kinds and window:
        return window, every
    raise BadInput(
        f"{path}: layer_types {kinds} with sliding_window {window!r} is not supported, only a window "
        "in all layers, or in all but every n-th"
    )


def _rope(path: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary settings, from where transformers 4 and 5 write them.

    Raises BadInput where two places say different things: versions of transformers differ in which
    of them counts.
    """
    places = {name: dict(part(path, fields, name)) for name in ("rope_scaling", "rope_parameters")}
    if fields.get("rope_theta") is not None:
        places["rope_theta"] = {"rope_theta": fields["rope_theta"]}
    found: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for place, values in places.items():
        if "type" in values:  # the name that transformers 4 began with
            values.setdefault("rope_type", values.pop("type"))
        for name, value in values.items():
            if isinstance(value, Mapping):
                raise BadInput(
                    f"{path}: {place}.{name} is a section of its own: rotary settings that differ by "
                    "layer are not supported"
                )
            if name in found and found[name] != value:
                raise BadInput(
                    f"{path}: {place} says {name} {value!r}, {said_by[name]} says {found[name]!r}: "
                    "remove the one that the model was not trained with"
                )
            found[name], said_by[name] = value, place
    return found
