"""Kneser-Ney n-grams and a hidden Markov model, fitted to the training shards and scored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm.evaluation.counted_settings import MeasureHMM, MeasureKneserNey
from llm.evaluation.held_tokens import held_tokens, vocabulary_of
from llm.models.baselines.kneser_ney import KneserNey
from llm.step import BadInput, Context, Inputs, StepResult
from llm.tokens.shards import Shard

LIBRARIES = ("torch", "numpy", "tokenizers")

Array = np.ndarray[Any, np.dtype[Any]]


def kneser_ney(values: MeasureKneserNey, inputs: Inputs, context: Context) -> StepResult:
    """Count the training shards, score the validation shards: metrics.json.

    inputs: tokens (all tokenize artifacts), tokenizer. Raises BadInput where a split is empty.
    """
    held = held_tokens(inputs["tokens"], values.documents_limit_bytes)
    vocabulary, end_of_text = vocabulary_of(inputs["tokenizer"][0])
    shards = _training(inputs["tokens"])
    tokens = np.concatenate([shard.tokens for shard in shards])
    lengths = np.concatenate([np.diff(shard.offsets) for shard in shards])
    model = KneserNey(values.settings.order, vocabulary, tokens, lengths, end_of_text)
    nats = model.nats(np.concatenate(held.tokens), np.array([len(one) for one in held.tokens]))
    words = f"interpolated modified Kneser-Ney {model.order}-grams"
    grams = sum(len(order.keys) for order in model.orders)
    counts = {"tokens": len(tokens), "ngrams": grams}
    return held.write("kneser_ney", float(nats.sum()), context, words, counts)


def hmm(values: MeasureHMM, inputs: Inputs, context: Context) -> StepResult:
    """Fit an HMM to the training shards, score the validation shards: metrics.json.

    inputs: tokens (all tokenize artifacts), tokenizer. Raises BadInput where a split is empty.
    """
    import torch

    from llm.models.baselines.hmm import HMM, frequencies_of

    settings = values.settings
    held = held_tokens(inputs["tokens"], values.documents_limit_bytes)
    vocabulary, _ = vocabulary_of(inputs["tokenizer"][0])
    documents = _some_documents(_training(inputs["tokens"]), settings.tokens, settings.seed)
    frequencies = frequencies_of(documents, vocabulary).to(torch.float32)
    model = HMM.random(settings.states, frequencies, settings.seed)

    def progress(done: int, nats: float) -> None:
        context.report.progress(done, settings.iterations, "passes")
        context.report.series("loss", {"pass": done, "loss": nats})

    losses = model.fit(documents, settings.iterations, settings.smoothing, progress)
    nats = sum(float(each.sum()) for each in model.nats(held.tokens))
    tokens = sum(map(len, documents))
    words = f"hidden Markov model of {settings.states} states fitted to {tokens:,} tokens"
    counts = {"tokens": tokens, "loss": round(losses[-1], 4)}
    return held.write("hmm", nats, context, words, counts)


def _training(folders: Sequence[Path]) -> list[Shard]:
    shards = [Shard.open(folder / "train.arrow") for folder in folders]
    if not any(len(shard.tokens) for shard in shards):
        raise BadInput("the training shards hold no token: crawl more, or loosen clean.filters")
    return shards


def _some_documents(shards: Sequence[Shard], tokens: int | None, seed: int) -> list[Array]:
    """Documents drawn from all shards until they have `tokens` tokens; all of them for None."""
    places = [(shard, row) for shard in shards for row in range(len(shard))]
    taken: list[Array] = []
    total = 0
    for number in np.random.default_rng(seed).permutation(len(places)):
        shard, row = places[number]
        taken.append(shard.document(row))
        total += len(taken[-1])
        if tokens is not None and total >= tokens:
            break
    return taken
