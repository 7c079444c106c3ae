"""A ladder of small runs below a recipe.

Rungs are runs of the recipe with a smaller model of its family (family.py), each size trained on
several lengths. Their order depends on the recipe alone, so that a larger budget goes on where a
smaller one ended. First come those that a law needs: diagonals of sizes and lengths, so that one that
was interrupted has met several of both. Then all others by what they cost, without end: sizes and
lengths that cost the same, where the trade between the two shows. With wsd a length goes on from
where the one before began to decay.

Example, size.length: 1.1, 1.2, 2.1, 1.3, 2.2, 3.1 are enough for a law; then 1.4, 1.5, 2.3, 2.4, 3.2.

The recipe's learning rate, batch and schedule are taken as they are for every size.
"""

import dataclasses
import heapq
import itertools
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm.models.config import ModelSettings
from llm.step import BadInput
from llm.training.pretrain.settings import PretrainSettings
from llm.training.scaling.family import Family
from llm.training.scaling.law import FEWEST, Observation, effective_tokens
from llm.training.scaling.throughput import Throughput, fit_throughput
from llm.training.schedule import decay_start

START = 1 / 16  # of the recipe's parameters: the first rung has this many or more
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


def rungs(settings: PretrainSettings, vocabulary: int) -> Iterator[Rung]:
    """The rungs below (and beyond) a recipe's run, in their order, without end. Raises BadInput."""
    if settings.init is not None:
        raise BadInput(
            f"pretrain.init is {settings.init}: a ladder trains models of other sizes, from random "
            "weights; leave it out (--set pretrain.init=null)"
        )
    family = Family(settings.model, vocabulary)
    smallest = START * family.config(settings.model).parameters
    sizes = (_lengths(settings, family, model) for model in family.spread(smallest, FACTOR))
    first = list(itertools.islice(sizes, FEWEST_SIZES))
    needed = until_enough(_diagonals(first))
    yield from needed
    every = _by_cost(itertools.chain(first, sizes))
    yield from (rung for rung in every if rung not in needed)


def is_enough(found: Sequence[Rung]) -> bool:
    """Whether there are rungs enough for a law, and one to leave out."""
    return len(found) > FEWEST and len({rung.parameters for rung in found}) >= FEWEST_SIZES


def until_enough(coming: Iterator[Rung]) -> list[Rung]:
    """The next rungs, as many as a law needs; the others stay in `coming`."""
    found: list[Rung] = []
    while not is_enough(found):
        found.append(next(coming))
    return found


def _diagonals(sizes: Sequence[Sequence[Rung]]) -> Iterator[Rung]:
    """Rungs of several sizes: before a size's next length, the shorter ones of the sizes above it."""
    for diagonal in range(len(TOKENS_PER_PARAMETER)):
        for size, lengths in enumerate(sizes[: diagonal + 1]):
            yield lengths[diagonal - size]


def _by_cost(sizes: Iterable[Sequence[Rung]]) -> Iterator[Rung]:
    """All rungs of the sizes, which come smallest first and without end; cheapest first."""
    coming = iter(sizes)
    size = next(coming)
    waiting: list[tuple[float, str, Rung]] = []  # the label makes an order of equal costs
    while True:
        while not waiting or size[0].flops <= waiting[0][0]:
            for rung in size:
                heapq.heappush(waiting, (rung.flops, rung.label, rung))
            size = next(coming)
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
class Pace:
    """How fast a machine trains models of any size, and how long a run takes besides (seconds)."""

    speed: Throughput
    start_up: float

    def seconds(self, rung: Rung) -> float:
        """What a rung is expected to take on its own, with what is shared taken over."""
        steps = rung.settings.steps - rung.shared_steps
        each = rung.settings.batch_tokens * self.speed.seconds(rung.flops_per_token)
        return self.start_up + steps * each


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A rung whose time is known. step_seconds: the median step's; seconds: with start and end."""

    rung: Rung
    step_seconds: float
    seconds: float

    @property
    def seconds_per_token(self) -> float:
        """Of training alone."""
        return self.step_seconds / self.rung.settings.batch_tokens


def pace_of(timed: Sequence[Timed]) -> Pace:
    """The machine's pace by the rungs.

    start_up is the median over the rungs that shared no steps: starting, compiling, saving.
    """
    speed = fit_throughput([(each.rung.flops_per_token, each.seconds_per_token) for each in timed])
    besides = [
        each.seconds - each.rung.settings.steps * each.step_seconds
        for each in timed
        if not each.rung.shared_steps
    ]
    return Pace(speed, max(0.0, statistics.median(besides)))


def goes_on(timed: Sequence[Timed], following: Rung, seconds: float) -> bool:
    """Whether a rung follows: a law needs it, or it is expected to end within `seconds` of all."""
    if not is_enough([each.rung for each in timed]):
        return True
    return sum(each.seconds for each in timed) + pace_of(timed).seconds(following) <= seconds


def plan(
    coming: Iterator[Rung], pace: Pace, seconds: float, made: Sequence[Timed] = ()
) -> list[tuple[Rung, float]]:
    """The rungs to train in `seconds`: all that a law needs, and the next ones that fit.

    Each with the seconds that it is expected to take. made: the first ones, where a law has enough in
    them; they took what they took. Raises BadInput where the time is too short for a law, with the
    time that would do.
    """
    planned = [(next(coming), each.seconds) for each in made]
    if not made:
        planned = [(rung, pace.seconds(rung)) for rung in until_enough(coming)]
        together = sum(each for _, each in planned)
        if together > seconds:
            raise BadInput(
                f"a budget of {seconds / 60:,.3g} minutes is too small, and nothing was trained: a "
                f"scaling law needs {len(planned)} small runs of {FEWEST_SIZES} sizes, which take some "
                f"{together / 60:,.3g} minutes here; give --budget {math.ceil(together / 6) / 10:g} "
                "or more"
            )
    together = sum(each for _, each in planned)
    for rung in coming:
        together += pace.seconds(rung)
        if together > seconds:
            return planned
        planned.append((rung, pace.seconds(rung)))
    raise AssertionError("rungs have no end")


@dataclass(frozen=True, kw_only=True)
class Climbed(Timed):
    """A rung that was trained.

    loss: of the validation slice after the last step, in `unit`. corpus_tokens: of an epoch.
    """

    loss: float
    unit: str
    corpus_tokens: int

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
    return Climbed(
        rung=rung,
        step_seconds=statistics.median(batch / line["tokens_per_second"] for line in lines),
        seconds=seconds,
        loss=lines[-1][unit],
        unit=UNITS[unit],
        corpus_tokens=corpus_tokens,
    )
