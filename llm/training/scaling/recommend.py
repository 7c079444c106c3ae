"""What a ladder's rungs say: which size to train, and how long, in a given time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm.models.config import ModelSettings
from llm.step import BadInput
from llm.training.pretrain.settings import PretrainSettings
from llm.training.scaling.family import Family
from llm.training.scaling.ladder import Climbed, pace_of
from llm.training.scaling.law import (
    REPETITIONS_TO_E,
    ScalingLaw,
    best_size,
    effective_tokens,
    fit,
    leave_one_out,
)
from llm.training.scaling.throughput import Throughput

FAR = 10.0  # times beyond the rungs, in parameters or tokens
# Muennighoff et al. (arXiv 2305.16264): up to this many epochs are almost as good as new text.
EPOCHS_LIKE_NEW = 4.0


@dataclass(frozen=True)
class Candidate:
    """A size, as long as it can be trained in the time. epochs: of the corpus."""

    model: ModelSettings
    parameters: int
    tokens: int
    epochs: float
    loss: float


@dataclass(frozen=True)
class Recommendation:
    """The best of the candidates, which are in the order of size.

    low, high: between them lie the laws without each rung in turn, and the rungs' own distance from
    the law. start_up: seconds of a run that are not training. unit: of losses.
    """

    best: int
    candidates: tuple[Candidate, ...]
    low: float
    high: float
    law: ScalingLaw
    speed: Throughput
    start_up: float
    unit: str
    notes: tuple[str, ...]

    @property
    def choice(self) -> Candidate:
        """What to train."""
        return self.candidates[self.best]


def recommend(
    settings: PretrainSettings, vocabulary: int, climbed: Sequence[Climbed], seconds: float
) -> Recommendation:
    """What to train in `seconds` on the machine of the rungs. Raises BadInput, ValueError."""
    law = fit([each.observation for each in climbed])
    pace = pace_of(climbed)
    corpus = climbed[0].corpus_tokens
    family = Family(settings.model, vocabulary)
    found = [
        Candidate(
            model=model,
            parameters=parameters,
            tokens=tokens,
            epochs=tokens / corpus,
            loss=law.loss(parameters, effective_tokens(tokens, corpus)),
        )
        for model, parameters, tokens in _affordable(
            settings, family, pace.speed, seconds - pace.start_up
        )
    ]
    if not found:
        raise BadInput(
            f"{seconds:,.0f} seconds are too few: a run takes {pace.start_up:,.0f} beside the training, and "
            "the rest is not enough to show the smallest model one token a parameter"
        )
    at = [(each.parameters, effective_tokens(each.tokens, corpus)) for each in found]
    best = best_size(law, at)
    laws = [law, *leave_one_out([each.observation for each in climbed])]
    losses = [each.loss(*at[best]) for each in laws]
    return Recommendation(
        best=best,
        candidates=tuple(found),
        low=min(losses) - law.error,
        high=max(losses) + law.error,
        law=law,
        speed=pace.speed,
        start_up=pace.start_up,
        unit=climbed[0].unit,
        notes=tuple(_notes(found, best, law, climbed)),
    )


def _affordable(
    settings: PretrainSettings, family: Family, speed: Throughput, seconds: float
) -> Iterator[tuple[ModelSettings, int, int]]:
    """Model, parameters, tokens: each size up to the last that sees a token for each parameter."""
    for model in family.members():
        config = family.config(model)
        each = speed.seconds(config.training_flops_per_token(config.context_length))
        tokens = int(seconds / (each * settings.batch_tokens)) * settings.batch_tokens
        if tokens < config.parameters:
            return
        yield model, config.parameters, tokens


def _notes(
    found: Sequence[Candidate], best: int, law: ScalingLaw, climbed: Sequence[Climbed]
) -> Iterator[str]:
    """What the user should know before believing it."""
    choice = found[best]
    for name, value, known in (
        ("parameters", choice.parameters, [each.rung.parameters for each in climbed]),
        ("tokens", choice.tokens, [each.rung.settings.tokens for each in climbed]),
    ):
        if value > FAR * max(known) or value < min(known) / FAR:
            yield (
                f"far outside what was measured: {value:,} {name}, the rungs have {min(known):,} to "
                f"{max(known):,}; raise --budget for larger ones"
            )
    if not law.size or not law.data:
        missing = "size" if not law.size else "more tokens"
        yield f"the rungs show no gain from {missing}: raise --budget for larger ones"
    if choice.epochs > EPOCHS_LIKE_NEW:
        worth = effective_tokens(choice.tokens, climbed[0].corpus_tokens)
        yield (
            f"{choice.epochs:.1f} epochs of {climbed[0].corpus_tokens:,} tokens are worth "
            f"{worth:,.0f} new ones: up to {EPOCHS_LIKE_NEW:.0f} epochs are almost as good as new text, "
            f"beyond {REPETITIONS_TO_E:.0f} there is little to gain. More text would help"
        )
    if best in (0, len(found) - 1):
        yield (
            "the best size is the smallest of the family"
            if best == 0
            else "the best size is the largest that sees a token for each parameter"
        )
