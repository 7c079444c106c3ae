"""A hidden Markov model over the model's tokens, fitted to the training shards."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm.evaluation.suite import Baseline, MeasureBaseline
from llm.models.baselines.config import HMMSettings
from llm.step import Context, Inputs, StepResult

if TYPE_CHECKING:
    from llm.tokens.shards import Shard

LIBRARIES = ("torch", "numpy", "tokenizers")

BASELINE = Baseline(
    titles={"hmm": "hidden Markov model"},
    settings={"hmm": HMMSettings},
    inputs=("tokens", "tokenizer"),
)


def measure(values: MeasureBaseline[HMMSettings], inputs: Inputs, context: Context) -> StepResult:
    """Fit an HMM to the training shards, score the validation shards.

    inputs: tokens (all tokenize artifacts), tokenizer. Raises BadInput where a split is empty.
    """
    import torch

    from llm.evaluation.held_tokens import held_tokens, training_shards, vocabulary_of
    from llm.models.baselines.hmm import HMM, frequencies_of

    settings = values.settings
    held = held_tokens(inputs["tokens"], values.limit_bytes)
    vocabulary, _ = vocabulary_of(inputs["tokenizer"][0])
    documents = _some_documents(training_shards(inputs["tokens"]), settings.tokens, settings.seed)
    frequencies = frequencies_of(documents, vocabulary).to(torch.float32)
    model = HMM.random(settings.states, frequencies, settings.seed)

    def progress(done: int, nats: float) -> None:
        context.report.progress(done, settings.iterations, "passes")
        context.report.series("loss", {"pass": done, "loss": nats})

    model.fit(documents, settings.iterations, settings.smoothing, progress)
    nats = [float(each.sum()) for each in model.nats(held.tokens)]
    tokens = sum(map(len, documents))
    words = f"hidden Markov model of {settings.states} states fitted to {tokens:,} tokens"
    return held.write(values.name, nats, context, words)


def _some_documents(shards: "Sequence[Shard]", tokens: int | None, seed: int) -> list[Any]:
    """Documents drawn from all shards until they have `tokens` tokens; all of them for None."""
    import numpy as np

    places = [(shard, row) for shard in shards for row in range(len(shard))]
    taken: list[Any] = []
    total = 0
    for number in np.random.default_rng(seed).permutation(len(places)):
        shard, row = places[number]
        taken.append(shard.document(row))
        total += len(taken[-1])
        if tokens is not None and total >= tokens:
            break
    return taken
