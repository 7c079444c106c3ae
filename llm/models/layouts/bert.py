"""BERT's layouts: with both heads, with the masked one alone, and (to read) the bare model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.models.config import ModelConfig
from llm.models.layouts.fields import head_width, named, number, refuse_others, sizes, words
from llm.models.layouts.fit import (
    NO_CAPS,
    NO_WINDOW,
    PLAIN_FEED_FORWARD,
    Allowed,
    outside,
    uneven_heads,
)
from llm.models.layouts.outputs import misfit
from llm.models.layouts.table import Stored, Table

BOTH, MASKED, BARE = "BertForPreTraining", "BertForMaskedLM", "BertModel"
TEXTS = "BertForSequenceClassification"
WHOLE_MODEL = {
    "embedding": "bert.embeddings.word_embeddings.weight",
    "positions": "bert.embeddings.position_embeddings.weight",
    "types": "bert.embeddings.token_type_embeddings.weight",
    "embedding_norm": "bert.embeddings.LayerNorm",
    "transform.bias": "cls.predictions.bias",
    "transform.dense": "cls.predictions.transform.dense",
    "transform.norm": "cls.predictions.transform.LayerNorm",
    "next_sentence.pooler": "bert.pooler.dense",
    "next_sentence.classifier": "cls.seq_relationship",
    "output_head.pooler": "bert.pooler.dense",
    "output_head.classifier": "classifier",
}
HEADS = ("transform.", "next_sentence.classifier.")  # that the bare model comes without
# Below bert.encoder.layer.N.
IN_A_LAYER = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
SIZES = {
    "vocab_size": "vocabulary",
    "num_hidden_layers": "layers",
    "hidden_size": "d_model",
    "num_attention_heads": "heads",
    "intermediate_size": "hidden",
    "max_position_embeddings": "context_length",
    "type_vocab_size": "token_types",
}
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu2": "relu2"}
# Fields that would change the result, and the values with which they do not. Missing is fine.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
    "quantization_config": (),
}
# What repeats another tensor, and that tensor.
REPEATED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
POSITION_IDS = "bert.embeddings.position_ids"  # no weight; transformers does not read it either
ALLOWED: Allowed = {
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
}


def misfits(layout: str, config: ModelConfig) -> list[str]:
    """The fields that keep a model out of the layout."""
    without_types = ["token_types"] if config.token_types < 1 else []
    return [*outside(config, ALLOWED), *uneven_heads(config), *without_types, *misfit(config)]


def may_lack(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """How the names of parameters begin that a file need not have: the heads of the bare model."""
    return HEADS if is_bare(fields) else ()


def table(config: ModelConfig, names: list[str]) -> Table:
    """Every tensor holds one of the model's parameters, `names`."""
    return {_layout_name(name): Stored((name,)) for name in names}


def _layout_name(name: str) -> str:
    if name in WHOLE_MODEL:
        return WHOLE_MODEL[name]
    module, kind = name.rsplit(".", 1)
    if module in WHOLE_MODEL:
        return f"{WHOLE_MODEL[module]}.{kind}"
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", module)
    assert match is not None, name
    return f"bert.encoder.layer.{match[1]}.{IN_A_LAYER[match[2]]}.{kind}"


def canonical(name: str, config: ModelConfig) -> str | None:
    """The table's name of a tensor in a file; None for one that says nothing new.

    The bare model has no prefix, and BERT as first published calls a norm's weights gamma and beta.
    A pooler without a next-sentence head to read it is left out.
    """
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
    name = name.replace("LayerNorm.beta", "LayerNorm.bias")
    if not name.startswith(("bert.", "cls.", "classifier.")):
        name = f"bert.{name}"
    pooled = config.next_sentence or config.outputs is not None
    unread = not pooled and name.startswith(("bert.pooler.", "cls.seq_relationship."))
    return None if unread or name in REPEATED or name == POSITION_IDS else name


def repeats(name: str) -> str | None:
    """The tensor that a tensor repeats where weights are tied."""
    return REPEATED.get(name)


def config_json(config: ModelConfig) -> dict[str, Any]:
    """The config.json with which transformers builds the same encoder."""
    activation = next(theirs for theirs, own in ACTIVATIONS.items() if own == config.feed_forward)
    return {
        "architectures": [TEXTS if config.outputs else BOTH if config.next_sentence else MASKED],
        "model_type": "bert",
        **{field: getattr(config, name) for field, name in SIZES.items()},
        "hidden_act": activation,
        "layer_norm_eps": config.norm_epsilon,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }


def read_config(path: Path, fields: Mapping[str, Any]) -> ModelConfig:
    """What config.json describes. Raises BadInput naming the field that the encoder cannot do."""
    refuse_others(path, fields, HARMLESS)
    architecture = (words(path, fields, "architectures") or [BOTH])[0]
    refuse_others(
        path, {"architectures": architecture}, {"architectures": (BOTH, MASKED, BARE, TEXTS)}
    )
    given = sizes(path, fields, SIZES)
    activation = fields.get("hidden_act", "gelu")
    return ModelConfig(
        **given,
        kv_heads=given["heads"],
        head_dim=head_width(
            path, given["d_model"], given["heads"], "hidden_size and num_attention_heads"
        ),
        rope_theta=10_000.0,
        norm_epsilon=number(path, fields, "layer_norm_eps", 1e-12, least=0),
        tie_embeddings=True,
        qk_norm=False,
        architecture="encoder",
        norm="layernorm",
        norm_position="post",
        positions="learned",
        feed_forward=named(path, "hidden_act", activation, ACTIVATIONS),
        bias=True,
        dropout=number(path, fields, "hidden_dropout_prob", 0.1, least=0, below=1),
        initialisation="normal",
        next_sentence=architecture not in (MASKED, TEXTS),
        head_transform=True,
    )


def is_bare(fields: Mapping[str, Any]) -> bool:
    """Whether a folder holds the model without heads (`HEADS`), which then start again."""
    return (fields.get("architectures") or [BOTH])[0] == BARE
