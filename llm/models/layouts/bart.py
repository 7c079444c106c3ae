"""The layouts of encoder-decoders: BART's for post-norm, and Blenderbot's, the same with pre-norm.

BART (arXiv 1910.13461) begins its table of positions with two rows that nothing reads, left from a
time when padding had one. Both keep biases of the logits outside their parameters: zeros.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.models.config import ModelConfig
from llm.models.layouts.fields import (
    head_width,
    named,
    number,
    refuse_others,
    sizes,
    whole,
    words,
)
from llm.models.layouts.fit import (
    NO_CAPS,
    NO_WINDOW,
    PLAIN_FEED_FORWARD,
    Allowed,
    outside,
    uneven_heads,
)
from llm.models.layouts.table import Stored, Table
from llm.step import BadInput

ARCHITECTURES = {
    "bart": "BartForConditionalGeneration",
    "blenderbot": "BlenderbotForConditionalGeneration",
}
NORM_POSITIONS = {"bart": "post", "blenderbot": "pre"}
UNREAD_POSITIONS = {"bart": 2, "blenderbot": 0}
SHARED, LOGIT_BIAS = "model.shared.weight", "final_logits_bias"
WHOLE_MODEL = {
    "embedding": SHARED,
    "source_positions": "model.encoder.embed_positions.weight",
    "positions": "model.decoder.embed_positions.weight",
    "source_embedding_norm": "model.encoder.layernorm_embedding",
    "embedding_norm": "model.decoder.layernorm_embedding",
    "source_norm": "model.encoder.layer_norm",
    "norm": "model.decoder.layer_norm",
}
# Below model.encoder.layers.N and model.decoder.layers.N.
IN_A_LAYER = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "cross_attention.query": "encoder_attn.q_proj",
    "cross_attention.key": "encoder_attn.k_proj",
    "cross_attention.value": "encoder_attn.v_proj",
    "cross_attention.output": "encoder_attn.out_proj",
    "cross_norm": "encoder_attn_layer_norm",
    "feed_forward.up": "fc1",
    "feed_forward.down": "fc2",
    "feed_forward_norm": "final_layer_norm",
}
SIDES = {"source_blocks": "encoder", "blocks": "decoder"}
# A field of each side, which must say the same: both sides have as many layers, of one size.
BOTH_SIDES = ("layers", "attention_heads", "ffn_dim")
SIZES = {
    "vocab_size": "vocabulary",
    "encoder_layers": "layers",
    "d_model": "d_model",
    "encoder_attention_heads": "heads",
    "encoder_ffn_dim": "hidden",
    "max_position_embeddings": "context_length",
}
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu2": "relu2"}
# Fields that would change the result, and the values with which they do not. Missing is fine.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "scale_embedding": (False,),
    "is_decoder": (False,),
    "is_encoder_decoder": (True,),
    "tie_word_embeddings": (True,),
    "normalize_before": (False,),
    "normalize_embedding": (True,),
    "add_final_layer_norm": (False,),
    "extra_pos_embeddings": (2,),
    "static_position_embeddings": (False,),
    "quantization_config": (),
}
# What repeats another tensor, and that tensor.
REPEATED = {
    "model.encoder.embed_tokens.weight": SHARED,
    "model.decoder.embed_tokens.weight": SHARED,
    "lm_head.weight": SHARED,
}
EPSILON = 1e-5  # both models': config.json has no field for it
IN_COMMON: Allowed = {
    "architecture": ("encoder_decoder",),
    "norm": ("layernorm",),
    "norm_epsilon": (EPSILON,),
    "positions": ("learned",),
    "feed_forward": PLAIN_FEED_FORWARD,
    "bias": (True,),
    "qk_norm": (False,),
    "tie_embeddings": (True,),
    **NO_WINDOW,
    **NO_CAPS,
}


def misfits(layout: str, config: ModelConfig) -> list[str]:
    """The fields that keep a model out of one of the layouts."""
    allowed = {**IN_COMMON, "norm_position": (NORM_POSITIONS[layout],)}
    # BART's class for texts reads them twice, by the decoder too.
    of_texts = ["outputs"] if config.outputs is not None else []
    return [*outside(config, allowed), *uneven_heads(config), *of_texts]


def may_lack(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """How the names of parameters begin that a file need not have: none."""
    return ()


def table(config: ModelConfig, names: list[str]) -> Table:
    """Every tensor holds one of the model's parameters, `names`, but for biases that are zero."""
    unread = UNREAD_POSITIONS[str(config.export)]
    made = {
        _layout_name(name): Stored((name,), unread=unread if name.endswith("positions") else 0)
        for name in names
    }
    return {**made, LOGIT_BIAS: Stored((), zeros=(1, config.vocabulary))}


def _layout_name(name: str) -> str:
    if name in WHOLE_MODEL:
        return WHOLE_MODEL[name]
    module, kind = name.rsplit(".", 1)
    if module in WHOLE_MODEL:
        return f"{WHOLE_MODEL[module]}.{kind}"
    match = re.fullmatch(r"(blocks|source_blocks)\.(\d+)\.(.+)", module)
    assert match is not None, name
    return f"model.{SIDES[match[1]]}.layers.{match[2]}.{IN_A_LAYER[match[3]]}.{kind}"


def canonical(name: str, config: ModelConfig) -> str | None:
    """The table's name of a tensor in a file; None for one that says nothing new.

    The bare model has no prefix.
    """
    if name.startswith(("encoder.", "decoder.", "shared.")):
        name = f"model.{name}"
    return None if name in REPEATED else name


def repeats(name: str) -> str | None:
    """The tensor that a tensor repeats where weights are tied."""
    return REPEATED.get(f"model.{name}" if name.startswith(("encoder.", "decoder.")) else name)


def config_json(config: ModelConfig) -> dict[str, Any]:
    """The config.json with which transformers builds the same encoder-decoder."""
    layout = str(config.export)
    activation = next(theirs for theirs, own in ACTIVATIONS.items() if own == config.feed_forward)
    return {
        "architectures": [ARCHITECTURES[layout]],
        "model_type": layout,
        "is_encoder_decoder": True,
        **{field: getattr(config, name) for field, name in SIZES.items()},
        "decoder_layers": config.layers,
        "decoder_attention_heads": config.heads,
        "decoder_ffn_dim": config.hidden,
        "activation_function": activation,
        "dropout": config.dropout,
        "attention_dropout": config.dropout,
        "activation_dropout": 0.0,
        "scale_embedding": False,
        "forced_eos_token_id": None,  # the default of both would end every text with token 2
        **({"encoder_no_repeat_ngram_size": 0} if layout == "blenderbot" else {}),
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }


def read_config(path: Path, fields: Mapping[str, Any]) -> ModelConfig:
    """What config.json describes. Raises BadInput naming the field that cannot be done."""
    layout = str(fields["model_type"])
    pre = NORM_POSITIONS[layout] == "pre"
    harmless = {**HARMLESS, "add_final_layer_norm": (True,)} if pre else HARMLESS
    harmless = {**harmless, "normalize_before": (pre,)}
    refuse_others(path, fields, harmless)
    architecture = (words(path, fields, "architectures") or [ARCHITECTURES[layout]])[0]
    bare = ARCHITECTURES[layout].replace("ForConditionalGeneration", "Model")
    known = (ARCHITECTURES[layout], bare)
    refuse_others(path, {"architectures": architecture}, {"architectures": known})
    given = sizes(path, fields, SIZES)
    for name in BOTH_SIDES:
        one, other = (whole(path, fields, f"{side}_{name}") for side in ("encoder", "decoder"))
        if other is not None and one != other:
            raise BadInput(
                f"{path}: encoder_{name} {one} and decoder_{name} {other} are not supported, only "
                "as many on both sides"
            )
    activation = fields.get("activation_function", "gelu")
    return ModelConfig(
        **given,
        kv_heads=given["heads"],
        head_dim=head_width(
            path, given["d_model"], given["heads"], "d_model and encoder_attention_heads"
        ),
        rope_theta=10_000.0,
        norm_epsilon=EPSILON,
        tie_embeddings=True,
        qk_norm=False,
        architecture="encoder_decoder",
        norm="layernorm",
        norm_position="pre" if pre else "post",
        positions="learned",
        feed_forward=named(path, "activation_function", activation, ACTIVATIONS),
        bias=True,
        dropout=number(path, fields, "dropout", 0.1, least=0, below=1),
        initialisation="normal",
    )
