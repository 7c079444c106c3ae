"""Night after night: how far a trunk goes on each night, and what the night's release is.

The first night trains `pretrain.tokens`, as a run without nights does. Each later night whose shards
hold something new adds a phase (llm.tokens.phases) at the step that the trunk has reached, and goes
on from there as far as the phase's epochs say. From the end of every night's trunk a decay branches
off: its end is the night's release, and the next night starts before it. A later night's decay
reads the shards of all nights alike, for however little is new, it is long.

Worked example, 10 rows of 100 tokens a step, pretrain.tokens 100,000, decay_fraction 0.3, epochs 2,
replay 0.3. On Tuesday 14,001 tokens (140 rows) are new, on Wednesday none, on Thursday 7,001:

    night      trunk            reads                              release
    Monday     steps 0 to 70    Monday's                           steps 70 to 100
    Tuesday    steps 70 to 110  7 rows Tuesday's, 3 Monday's       steps 110 to 140
    Wednesday                   nothing is new                     Tuesday's
    Thursday   steps 110 to 130 7 rows Thursday's, 3 of earlier    steps 130 to 160

All of it depends on the settings and the shards alone, and what a night adds depends on no later one. So
a trunk that an earlier night left is a short cut: training from scratch over all nights gives the
same bits. A night too small for a whole step waits for the next one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.durable import file_digest, write_bytes
from llm.step import Reporter, digest_of
from llm.tokens.batches import NoRow
from llm.tokens.phases import Phase
from llm.tokens.shards import Shard
from llm.training.pretrain.data import read_data
from llm.training.schedule import decay_start

if TYPE_CHECKING:
    from llm.training.pretrain.settings import PretrainSettings


@dataclass(frozen=True)
class Course:
    """A run's steps: what is read from which on, where the decay begins, and where it ends.

    phases: the trunk's; decay: what is read from trunk_at on, where the last phase does not run on.
    """

    phases: Sequence[Phase]
    trunk_at: int
    steps: int
    decay: Phase | None = None

    @property
    def data(self) -> list[Phase]:
        """All that is read."""
        return [*self.phases, *([self.decay] if self.decay else [])]

    @property
    def begins(self) -> list[int]:
        """The steps at which a trunk may have ended."""
        return [*(phase.from_step for phase in self.phases[1:]), self.trunk_at]


def course(values: "PretrainSettings", nights: Sequence[Sequence[Path]]) -> Course:
    """The run over the train shards of nights, oldest first. Raises what Batches raises.

    Without values.continual all shards are one phase.
    """
    steps, settings = values.steps, values.continual
    trunk_at = decay_start(values.schedule, steps, values.batch_tokens)
    if settings is None:
        shards = [path for night in nights for path in night]
        return Course([Phase(0, shards, mix=values.mix)], trunk_at, steps)
    decaying = steps - trunk_at
    if settings.decay_tokens is not None:
        decaying = ceil(settings.decay_tokens / values.batch_tokens)
    phases: list[Phase] = []
    waiting: list[Path] = []
    mix: dict[str, float] = {}  # of the sources so far: others come on later nights
    reached = 0
    for number, night in enumerate(nights, start=1):
        waiting += night
        mix = {**mix, **_weights(values.mix, night)}
        phase = Phase(reached, tuple(waiting), settings.replay if phases else 0.0, mix)
        try:
            epoch = read_data(values, [*phases, phase]).phase(len(phases)).steps_per_epoch
        except NoRow:
            if number == len(nights) and not phases:
                raise
            continue
        if phases and settings.epochs * epoch < 1:
            continue
        added = ceil(settings.epochs * epoch)
        if settings.tokens is not None:
            added = min(added, max(1, settings.tokens // values.batch_tokens))
        reached += added if phases else trunk_at
        phases.append(phase)
        waiting = []
    if len(phases) == 1:
        return Course(phases, reached, reached + decaying)
    everything = tuple(path for phase in phases for path in phase.shards)
    return Course(phases, reached, reached + decaying, Phase(reached, everything, mix=mix))


def _weights(mix: Mapping[str, float], shards: Sequence[Path]) -> dict[str, float]:
    """Those of a mix whose sources have documents in the shards."""
    found = (Shard.open(path).documents["source"].unique().to_pylist() for path in shards if mix)
    return {name: mix[name] for names in found for name in names if name in mix}


def joined(phases: Sequence[Phase]) -> list[tuple[int, str]]:
    """The phases after the first: the step at which each begins, a digest of all that it is."""
    return [
        (
            phase.from_step,
            digest_of(
                [str(phase.from_step), repr(phase.replay), repr(sorted(phase.mix.items()))]
                + [file_digest(path) for path in phase.shards]
            ),
        )
        for phase in phases[1:]
    ]


def history(values: "PretrainSettings", run: Course) -> list[dict[str, Any]]:
    """What each phase reads: the lines of phases.jsonl, the last of which may be the decay's.

    corpus_tokens: in its own shards; new, replayed: tokens learned from those and from earlier ones;
    epochs: how often its own are learned; shards: the files' digests, in the order of seen.jsonl's
    numbers: own ones first.
    """
    data = read_data(values, run.data)
    ends = [*(phase.from_step for phase in run.data[1:]), run.steps]
    lines = []
    for number, (phase, end) in enumerate(zip(run.data, ends, strict=True)):
        batches, steps = data.phase(number), end - phase.from_step
        learned = sum(batches.learned_by_source(steps).values())
        replayed = batches.replayed(steps)
        lines.append(
            {
                "from_step": phase.from_step,
                "steps": steps,
                "corpus_tokens": batches.tokens,
                "new": round(learned - replayed),
                "replayed": round(replayed),
                "epochs": round((learned - replayed) / sum(batches.epoch_by_source().values()), 2),
                "shards": [file_digest(path) for path in phase.shards],
            }
        )
    return lines


def write_history(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write what `history` gave, a line of JSON each."""
    write_bytes(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())


def tell(lines: Sequence[Mapping[str, Any]], phases: int, report: Reporter) -> str:
    """Show what `history` gave as a table; the newest of the trunk's phases in a few words."""
    rows = [{name: line[name] for name in line if name != "shards"} for line in lines]
    report.table("phases", rows, "What joined the data at which step, and how often it was read.")
    new = rows[phases - 1]
    return (
        f"phase {phases}: {new['new']:,} new tokens ({new['epochs']:g} epochs), "
        f"{new['replayed']:,} replayed"
    )
