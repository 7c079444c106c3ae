"""Kneser-Ney n-grams over the model's tokens, counted on the training shards."""

from llm.evaluation.suite import Baseline, MeasureBaseline
from llm.models.baselines.config import KneserNeySettings
from llm.step import Context, Inputs, StepResult

LIBRARIES = ("numpy", "tokenizers")

BASELINE = Baseline(
    titles={"kneser_ney": "token n-gram (Kneser-Ney)"},
    settings={"kneser_ney": KneserNeySettings},
    inputs=("tokens", "tokenizer"),
)


def measure(
    values: MeasureBaseline[KneserNeySettings], inputs: Inputs, context: Context
) -> StepResult:
    """Count the training shards, score the validation shards.

    inputs: tokens (all tokenize artifacts), tokenizer. Raises BadInput where a split is empty.
    """
    import numpy as np

    from llm.evaluation.held_tokens import held_tokens, training_shards, vocabulary_of
    from llm.models.baselines.kneser_ney import KneserNey

    held = held_tokens(inputs["tokens"], values.limit_bytes)
    vocabulary, end_of_text = vocabulary_of(inputs["tokenizer"][0])
    shards = training_shards(inputs["tokens"])
    tokens = np.concatenate([shard.tokens for shard in shards])
    lengths = np.concatenate([np.diff(shard.offsets) for shard in shards])
    model = KneserNey(values.settings.order, vocabulary, tokens, lengths, end_of_text)
    sizes = np.array([len(one) for one in held.tokens])
    nats = np.split(model.nats(np.concatenate(held.tokens), sizes), np.cumsum(sizes)[:-1])
    grams = sum(len(order.keys) for order in model.orders)
    words = (
        f"interpolated modified Kneser-Ney {model.order}-grams, {grams:,} of them from {len(tokens):,} "
        "tokens"
    )
    return held.write(values.name, [float(one.sum()) for one in nats], context, words)
