"""What a model's sizes add up to: parameters and floating-point operations, without making it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm.models.config import ModelConfig


def parameters(config: "ModelConfig") -> int:
    """How many numbers are learned, a tied head counted once."""
    d = config.d_model
    matrices = _attention(config) + _feed_forward(config)
    norm = d * (2 if config.norm == "layernorm" and config.bias else 1)
    block = matrices + 2 * norm + _attention_vectors(config) + _feed_forward_biases(config)
    told = config.outputs is not None  # of whole texts, by a head that stands for that of tokens
    # One norm at the end; a post-norm model's is at the start.
    total = config.vocabulary * d * (1 if config.tie_embeddings or told else 2) + norm
    total += config.context_length * d if config.positions == "learned" else 0
    total += config.layers * block
    if config.architecture == "encoder_decoder":
        cross = _attention(config) + _attention_vectors(config) + norm
        total += config.layers * (block + cross) + norm  # the other side's norm of either kind
        total += config.context_length * d if config.positions == "learned" else 0
    total += config.token_types * d
    if config.outputs is not None:
        deep = config.architecture != "decoder"
        return total + len(config.outputs.labels) * (d + deep) + (d * d + d) * deep
    if config.head_transform:
        total += d * d + d + norm + config.vocabulary
    if config.next_sentence:
        total += d * d + d + 2 * d + 2
    return total


def matrix_parameters(config: "ModelConfig") -> int:
    """Parameters that take part in a matrix product for a token, the head's included."""
    block = _attention(config) + _feed_forward(config)
    if config.architecture == "encoder_decoder":
        block = 2 * block + _attention(config)
    return config.layers * block + _head(config)


def training_flops_per_token(
    config: "ModelConfig", length: int, source_length: int | None, scored: float
) -> int:
    """Floating-point operations of forward and backward for one token of a row of `length`.

    6 per matrix parameter, and 12 * heads * head_dim for each key that a token sees in a layer,
    length / 2 on average for causal attention (PaLM, arXiv 2204.02311, appendix B, counts length).
    source_length: an encoder-decoder's tokens of source for each row of `length` target tokens
    (None: as many); the tokens that are counted are the targets. scored: the share of tokens that
    have a target: only those go through the head, and in the last layer no others behind attention.
    """
    d_attention = 12 * config.heads * config.head_dim
    causal = config.architecture != "encoder"
    block = _attention(config) + _feed_forward(config)
    total: float = 6 * (config.layers * block + scored * _head(config))
    last = config.heads * config.head_dim * config.d_model + _feed_forward(config)
    total -= 6 * (1 - scored) * last
    total += d_attention * _keys_seen(config, length, causal)
    if config.architecture == "encoder_decoder":
        source = length if source_length is None else source_length
        keys_values = 2 * config.d_model * config.kv_heads * config.head_dim
        queries_outputs = _attention(config) - keys_values
        cross = 6 * queries_outputs + d_attention * source
        # What is done for a source token, in shares of a target token.
        encoder: float = 6 * config.layers * (block + keys_values)
        encoder += d_attention * _keys_seen(config, source, causal=False)
        total += config.layers * cross + encoder * source / length
    return round(total)


def _keys_seen(config: "ModelConfig", length: int, causal: bool) -> float:
    """How many keys an average token sees, summed over layers.

    Example: a row of 8, all before a token: 4; with a window of 2: 2 - 2*2/16 = 1.75. Twice as
    many where it sees what follows, too.
    """
    total = 0.0
    for window in config.windows:
        span = min(window or length, length)
        total += span - span * span / (2 * length)
    return total if causal else 2 * total


def _attention(config: "ModelConfig") -> int:
    return config.d_model * config.head_dim * (2 * config.heads + 2 * config.kv_heads)


def _attention_vectors(config: "ModelConfig") -> int:
    """Biases, and the weights of the norms of queries and keys."""
    biases = config.head_dim * (config.heads + 2 * config.kv_heads) + config.d_model
    return biases * config.bias + 2 * config.head_dim * config.qk_norm


def _feed_forward(config: "ModelConfig") -> int:
    return (3 if config.feed_forward == "swiglu" else 2) * config.d_model * config.hidden


def _feed_forward_biases(config: "ModelConfig") -> int:
    inner = (2 if config.feed_forward == "swiglu" else 1) * config.hidden
    return (inner + config.d_model) * config.bias


def _head(config: "ModelConfig") -> int:
    transform = config.d_model * config.d_model if config.head_transform else 0
    return config.vocabulary * config.d_model + transform
