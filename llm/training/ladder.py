"""A ladder of small runs below a recipe.

Rungs are runs of the recipe with a smaller model of its family (family.py), each size trained on
several lengths. They come in the order of what they cost, without end and whatever the machine, so
that a larger budget goes on where a smaller one ended: along the diagonals of sizes and lengths that
cost the same, where the trade between the two shows. With wsd a length goes on from where the one
before began to decay.

The recipe's learning rate, batch and schedule are taken as they are for every size.
"""

import dataclasses
import heapq
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm.models.config import ModelSettings
from llm.step import BadInput
from llm.training.family import Family
from llm.training.pretrain_settings import PretrainSettings
from llm.training.scaling import FEWEST, Observation, effective_tokens
from llm.training.schedule import decay_start
from llm.training.throughput import Throughput, fit_throughput

START = 1 / 16  # of the recipe's parameters: the first rung has so many or more
FACTOR = 2.0  # from a size to the next, at least
TOKENS_PER_PARAMETER = (2, 4, 8, 16, 32)  # the lengths of each size
FEWEST_STEPS = 200  # of the shortest length: the first fall from chance follows no power law
FEWEST_SIZES = 3  # below, a line through two points would pass for a law
LAST_STEP_ONLY = 1_000_000_000  # validate_every
UNITS = {
    "validation_bits_per_byte": "bits per byte",
    "validation_loss": "nats per target",
}


@dataclass(frozen=True)
class Rung:
    """One small run: its section of a recipe, and what is known of it beforehand.

    parameters: all that are learned; flops_per_token: of forward and backward. shared_steps: those
    that it takes over from the rung before it of the same size.
    """

    settings: PretrainSettings
    parameters: int
    flops_per_token: int
    shared_steps: int

    @property
    def label(self) -> str:
        """Width, layers and tokens, for people."""
        model = self.settings.model
        return f"{model.d_model}x{model.layers} {self.settings.tokens:,}"

    @property
    def flops(self) -> float:
        """Of the whole run."""
        return float(self.flops_per_token) * self.settings.tokens

    def seconds(self, speed: Throughput, start_up: float) -> float:
        """What it is expected to take on its own, with what is shared taken over."""
        steps = self.settings.steps - self.shared_steps
        each = self.settings.batch_tokens * speed.seconds(self.flops_per_token)
        return start_up + steps * each


def rungs(settings: PretrainSettings, vocabulary: int) -> Iterator[Rung]:
    """The rungs below (and beyond) a recipe's run, cheapest first, without end. Raises BadInput."""
    if settings.init is not None:
        raise BadInput(
            f"pretrain.init is {settings.init}: a ladder trains models of other sizes, from random "
            "weights; leave it out (--set pretrain.init=null)"
        )
    family = Family(settings.model, vocabulary)
    smallest = START * family.config(settings.model).parameters
    sizes = (_lengths(settings, family, model) for model in family.spread(smallest, FACTOR))
    waiting: list[tuple[float, str, Rung]] = []  # the label makes an order of equal costs
    coming = next(sizes)
    while True:
        while not waiting or coming[0].flops <= waiting[0][0]:
            for rung in coming:
                heapq.heappush(waiting, (rung.flops, rung.label, rung))
            coming = next(sizes)
        yield heapq.heappop(waiting)[-1]


def _lengths(settings: PretrainSettings, family: Family, model: ModelSettings) -> list[Rung]:
    """The runs of one size, shortest first."""
    config = family.config(model)
    batch = settings.batch_tokens
    first = max(TOKENS_PER_PARAMETER[0] * config.parameters, FEWEST_STEPS * batch)
    # A warm-up as long as the recipe's would be most of a short run.
    warm_up = min(settings.schedule.warmup_tokens, first // 4)
    found: list[Rung] = []
    for times in TOKENS_PER_PARAMETER:
        steps = -(-first * times // TOKENS_PER_PARAMETER[0] // batch)
        rung = dataclasses.replace(
            settings,
            model=model,
            tokens=steps * batch,
            schedule=dataclasses.replace(settings.schedule, warmup_tokens=warm_up),
            validate_every=LAST_STEP_ONLY,
            continual=None,  # all nights' text at once
        )
        shared = decay_start(rung.schedule, found[-1].settings.steps, batch) if found else 0
        flops = config.training_flops_per_token(config.context_length)
        found.append(Rung(rung, config.parameters, flops, shared))
    return found


@dataclass(frozen=True)
class Climbed:
    """A rung that was trained.

    loss: of the validation slice after the last step, in `unit`. step_seconds: the median step's.
    seconds: what it took, with starting and ending. corpus_tokens: of an epoch.
    """

    rung: Rung
    loss: float
    unit: str
    step_seconds: float
    seconds: float
    corpus_tokens: int

    @property
    def seconds_per_token(self) -> float:
        """Of training alone."""
        return self.step_seconds / self.rung.settings.batch_tokens

    @property
    def observation(self) -> Observation:
        """What the law is fitted to: repeated tokens count for as much as they are worth."""
        tokens = effective_tokens(self.rung.settings.tokens, self.corpus_tokens)
        return Observation(self.rung.parameters, tokens, self.loss)


def read(rung: Rung, metrics: Path, seconds: float, corpus_tokens: int) -> Climbed:
    """A rung's figures from its metrics.jsonl. Raises BadInput where its loss was not measured."""
    lines = [json.loads(line) for line in metrics.read_text("utf8").splitlines()]
    unit = next((name for name in UNITS if name in lines[-1]), None)
    if unit is None:
        raise BadInput(
            "the validation split has no whole window, so that no loss can be measured: raise "
            "tokenize.validation.fraction, or shorten pretrain.model.context_length"
        )
    batch = rung.settings.batch_tokens
    step = statistics.median(batch / line["tokens_per_second"] for line in lines)
    return Climbed(rung, lines[-1][unit], UNITS[unit], step, seconds, corpus_tokens)


def speed_of(climbed: Sequence[Climbed]) -> tuple[Throughput, float]:
    """How fast models of any size train, by the rungs, and how long a run takes besides (seconds).

    The latter is the median over the rungs that shared no steps: starting, compiling, saving.
    """
    speed = fit_throughput(
        [(each.rung.flops_per_token, each.seconds_per_token) for each in climbed]
    )
    besides = [
        each.seconds - each.rung.settings.steps * each.step_seconds
        for each in climbed
        if not each.rung.shared_steps
    ]
    return speed, max(0.0, statistics.median(besides))


def is_enough(found: Sequence[Rung]) -> bool:
    """Whether there are rungs enough for a law, and one to leave out."""
    return len(found) > FEWEST and len({rung.parameters for rung in found}) >= FEWEST_SIZES


def expected_seconds(climbed: Sequence[Climbed], coming: Rung) -> float:
    """What the next rung is expected to take; 0 before the first, of which nothing is known."""
    return coming.seconds(*speed_of(climbed)) if climbed else 0.0


def seconds_until_enough(climbed: Sequence[Climbed], coming: Iterator[Rung]) -> float:
    """What all rungs take that are needed for a law: those made, and the next ones as expected."""
    together = sum(each.seconds for each in climbed)
    found = [each.rung for each in climbed]
    while not is_enough(found):
        found.append(next(coming))
        together += expected_seconds(climbed, found[-1])
    return together
