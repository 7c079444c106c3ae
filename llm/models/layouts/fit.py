"""Whether a model fits a layout: the values that the layout can say, and the first field that keeps it out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm.models.config import ModelConfig

Allowed = Mapping[str, tuple[Any, ...]]
"""The values of each field that a layout does not leave free."""

NO_CAPS: Allowed = {"attention_soft_cap": (None,), "logit_soft_cap": (None,)}
NO_WINDOW: Allowed = {"window": (None,), "full_attention_every": (None,)}
PLAIN_FEED_FORWARD = ("gelu", "gelu_tanh", "relu2")


def outside(config: "ModelConfig", allowed: Allowed) -> list[str]:
    """The fields whose values a layout cannot say, in the order in which it names them."""
    return [field for field, values in allowed.items() if getattr(config, field) not in values]


def uneven_heads(config: "ModelConfig") -> list[str]:
    """The fields that keep a model out of layouts whose heads share the width out evenly."""
    found = ["kv_heads"] if config.kv_heads != config.heads else []
    if config.head_dim * config.heads != config.d_model:
        found.append("head_dim")
    return found
