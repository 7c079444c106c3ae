"""A training run's data in phases: tomorrow's shards join, and what was read before stays as it was.

A phase begins at a step and has shards of its own, which join those of the phases before it. Its
`replay` is the share of tokens that it reads from those earlier shards. The list only ever grows:
what a step reads depends on the phases that begin at or before it, so a run that has come to step
s goes on with a list whose new entries begin at s or later.

Worked example, rows of 100 tokens, 10 rows a step. Monday trains on 60,001 tokens (600 rows) from
scratch; on Tuesday the run has done 50 steps, and 14,001 new tokens (140 rows) have come:

    phases = [Phase(0, [monday]), Phase(50, [tuesday], replay=0.3)]

Steps 0 to 49 read 500 of Monday's rows, each once. From step 50 on every 10 rows are 7 of Tuesday's
and 3 of Monday's: after 20 steps, 140 rows of Tuesday's, each once, and 60 of Monday's. That is one
epoch of the phase. On Wednesday, Phase(70, [wednesday], replay=0.3) replays rows of both.

With replay 0, the phase reads its own shards only. Each phase shuffles with a seed of its own, so
replays of the same shards differ from night to night.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.step import BadInput
from llm.tokens.batches import Batches, Packing
from llm.tokens.order import Integers, seed_of
from llm.tokens.rows import TokenRows


@dataclass(frozen=True)
class Phase:
    """What is read from a step on.

    from_step: its first step. shards: train shards that are new in it. replay: the share of tokens
    from the shards of phases before it (0 to below 1). mix: weights of sources, as in Batches.
    """

    from_step: int
    shards: Sequence[Path]
    replay: float = 0.0
    mix: Mapping[str, float] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Plain values, for a job file."""
        shards = [str(path) for path in self.shards]
        return {**vars(self), "shards": shards, "mix": dict(self.mix)}

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> "Phase":
        """What `describe` gave."""
        return cls(**{**described, "shards": [Path(path) for path in described["shards"]]})


class Phases:
    """Batches by step over phases; the shards of a phase are opened when it is first asked for.

    Raises BadInput when the first phase does not begin at step 0 or a later one not after the one
    before it, and what Batches raises.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        context_length: int,
        sequences: int,
        seed: int,
        *,
        packing: Packing = "concat",
        document_mask: bool = False,
    ) -> None:
        self.phases = list(phases)
        self.context_length, self.sequences, self.seed = context_length, sequences, seed
        self.packing, self.document_mask = packing, document_mask
        self._begins = [phase.from_step for phase in phases]
        if self._begins[:1] != [0] or sorted(set(self._begins)) != self._begins:
            raise BadInput(
                f"phases begin at steps {self._begins}: the first must begin at 0, each other later "
                "than the one before it"
            )
        self._open: tuple[int, Batches] | None = None

    def number_of(self, step: int) -> int:
        """Which phase a step belongs to."""
        return bisect_right(self._begins, step) - 1

    def phase(self, number: int) -> Batches:
        """The batches of a phase, whose step 0 is its own first; the last one asked for is kept."""
        if self._open is None or self._open[0] != number:
            phase = self.phases[number]
            batches = Batches(
                phase.shards,
                self.context_length,
                self.sequences,
                seed_of(self.seed, f"phase {number}") if number else self.seed,
                phase.mix,
                packing=self.packing,
                document_mask=self.document_mask,
                earlier=[path for before in self.phases[:number] for path in before.shards],
                replay=phase.replay,
            )
            self._open = (number, batches)
        return self._open[1]

    def windows_of(self, step: int, start: int = 0, stop: int | None = None) -> Integers:
        """Which rows a step reads, as numbers within its phase."""
        number = self.number_of(step)
        return self.phase(number).windows_of(step - self._begins[number], start, stop)

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> TokenRows:
        """Rows start to stop of a step's batch (all by default)."""
        number = self.number_of(step)
        return self.phase(number).batch(step - self._begins[number], start, stop)

    def epochs(self, steps: int) -> dict[str, float]:
        """How often the first `steps` steps read each source, all its shards so far counted once."""
        learned: dict[str, float] = {}
        sizes: dict[str, float] = {}
        known: set[Path] = set()
        for number, begin in enumerate(self._begins):
            if begin >= steps:
                break
            end = min([steps, *self._begins[number + 1 : number + 2]])
            batches = self.phase(number)
            for name, tokens in batches.learned_by_source(end - begin).items():
                learned[name] = learned.get(name, 0) + tokens
            if not known.issuperset(self.phases[number].shards):
                for name, tokens in batches.epoch_by_source().items():
                    sizes[name] = sizes.get(name, 0) + tokens
            known.update(self.phases[number].shards)
        return {name: learned.get(name, 0) / size for name, size in sizes.items() if size}
