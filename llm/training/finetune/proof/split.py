"""The proof of one split: every row is read as training reads it, and compared with its examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from llm.examples.settings import Column
from llm.examples.shards import Example, Shard, place
from llm.step import BadInput
from llm.training.finetune.claims import Claims
from llm.training.finetune.ledger import Entries
from llm.training.finetune.proof.members import Member, members
from llm.training.finetune.proof.texts import Comparison, Pair
from llm.training.finetune.proof.told import Told
from llm.training.finetune.task import Rows

LIBRARIES = ("numpy", "tokenizers")


class Unproved(BadInput):
    """The rows are not what they are to be: nothing is trained on them."""


@dataclass
class Split:
    """A split's rows and what they were made of.

    task: the task's name in the recipe. most: examples whose text is compared; None: all.
    """

    task: str
    name: str
    shard: Shard
    columns: Sequence[Column]
    rows: Rows
    entries: Entries
    told: Told
    claims: Claims
    most: int | None
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._written = self.entries.written
        self._seen = np.zeros(len(self._written), np.int64)

    def wrong(self, row: int, number: int | None, what: str) -> NoReturn:
        """Raise Unproved naming file, line, row and what is wrong."""
        where = ""
        if number is not None:
            where = f"{self.place(int(self.entries.origin[self._written[number]]))}, "
        raise Unproved(
            f"finetune {self.task}: {where}row {row} of {self.name}: {what}. Nothing was trained: the rows are "
            "not what their examples say. If you changed the code or the tokenizer, look there; otherwise "
            "please report it with this line"
        )

    def place(self, origin: int) -> str:
        """File and line of an example, by its number in the shard."""
        for batch in self.shard.batches:
            if origin < len(batch):
                file, line, url = (batch[name][origin].as_py() for name in ("file", "line", "url"))
                return place(Example((), url, file, line))
            origin -= len(batch)
        return f"example {origin}"

    def said(self, origin: int) -> str:
        """What the last column has of an example, by its number in the shard."""
        for batch in self.shard.batches:
            if origin < len(batch):
                cell = batch[self.columns[-1].name][origin].as_py()
                return ", ".join(map(str, cell)) if isinstance(cell, list) else str(cell)
            origin -= len(batch)
        return ""

    def prove(self) -> None:
        """Check all rows, and the text of `most` examples. Raises Unproved. Fills in `counts`."""
        chosen = self._chosen()
        kept: dict[int, Member] = {}
        trained = 0
        for member in members(self.rows, np.arange(len(self.rows)), self.wrong):
            self._one(member)
            trained += int(member.learn.sum())
            if chosen is None or member.number in chosen:
                kept[member.number] = member
        self._account(trained)
        comparison = Comparison(self.told, self.entries, self.wrong)
        for pairs in self._pairs(kept):
            comparison.compare(pairs)
        self.counts |= {"compared": comparison.counts["examples"]}
        for name in ("templates", "spelled", "changed", "merged"):
            self.counts[name] = comparison.counts[name]

    def _chosen(self) -> set[int] | None:
        count = len(self._written)
        if self.most is None or count <= self.most:
            return None
        random = np.random.Generator(np.random.PCG64(0))
        return set(random.choice(count, self.most, replace=False).tolist())

    def _one(self, member: Member) -> None:
        """What every example must be, whatever the task."""
        self._seen[member.number] += 1
        entry = self._written[member.number]
        kept, given = int(self.entries.kept[entry]), int(self.entries.given[entry])
        ids = member.ids
        # A last token that is not learned stands in no row, but it was read.
        if len(ids) != kept and (len(ids) != kept - 1 or member.target is not None):
            self.wrong(
                member.row,
                member.number,
                f"{len(ids)} of its {kept} tokens are in the row: tokens were dropped",
            )
        begin = self.told.begin
        if begin is not None and len(ids) > 1 and ids[0] == begin and ids[1] == begin:
            self.wrong(member.row, member.number, f"it begins with token {begin} twice")
        if member.target is not None:
            return
        for _, end in member.runs():
            cut = kept < given and end == len(ids)
            if int(ids[end - 1]) not in self.told.stops and not cut:
                name = self.told.tokenizer.id_to_token(int(ids[end - 1]))
                stops = ", ".join(map(str, sorted(self.told.stops))) or "none"
                self.wrong(
                    member.row,
                    member.number,
                    f"the last token that is learned of an answer is {name!r}, and writing stops at {stops} alone: "
                    "the model would not learn to end",
                )
        if member.start is not None and member.start != self.told.start:
            self.wrong(
                member.row,
                member.number,
                f"its target starts from token {member.start}, and writing starts from {self.told.start}",
            )

    def _account(self, trained: int) -> None:
        """Every token that came in was trained, masked or dropped, and every example is there once."""
        odd = np.flatnonzero(self._seen != 1)
        if len(odd):
            number = int(odd[0])
            origin = int(self.entries.origin[self._written[number]])
            raise Unproved(
                f"finetune {self.task}: {self.place(origin)}: it stands {int(self._seen[number])} times in the rows "
                f"of {self.name}, and each example must once. Run the rows step again (--force rows)"
            )
        given, kept = int(self.entries.given.sum()), int(self.entries.kept.sum())
        self.counts = {
            "rows": len(self.rows),
            "examples": len(self._written),
            "tokens": given,
            "trained": trained,
            "masked": kept - trained,
            "dropped": given - kept,
            "cut": int((self.entries.kept < self.entries.given)[self._written].sum()),
            "left_out": int((self.entries.kept == 0).sum()),
        }

    def _pairs(self, kept: dict[int, Member]) -> Iterator[list[Pair]]:
        """Examples of the rows with their claims, a batch of the shard at a time."""
        numbers = np.cumsum(self.entries.kept > 0) - 1
        order = np.argsort(self.entries.origin, kind="stable")
        origins = self.entries.origin[order]
        first = 0
        for chunk in self.shard.chunks(self.columns):
            bounds = np.searchsorted(origins, np.arange(first, first + len(chunk) + 1)).tolist()
            pairs = []
            for at, example in enumerate(chunk):
                entries = order[bounds[at] : bounds[at + 1]].tolist()
                there = {
                    entry: kept[number]
                    for entry in entries
                    if self.entries.kept[entry] and (number := int(numbers[entry])) in kept
                }
                if entries and not there:
                    continue
                claims = self.claims(example)
                if len(claims) != len(entries):
                    raise Unproved(
                        f"finetune {self.task}: {place(example)} makes {len(claims)} examples for {self.name}, and "
                        f"the rows have {len(entries)}: examples were lost. Nothing was trained"
                    )
                said = zip(entries, claims, strict=True)
                pairs += [Pair(there[one], one, claim) for one, claim in said if one in there]
            first += len(chunk)
            yield pairs

    def left_out(self) -> Iterator[dict[str, Any]]:
        """File and line (or address) of each example that lost tokens, and how many."""
        lost = np.flatnonzero(self.entries.kept < self.entries.given)
        places = self._places()
        for entry in lost.tolist():
            file, line, url = places[int(self.entries.origin[entry])]
            given, kept = int(self.entries.given[entry]), int(self.entries.kept[entry])
            why = "cut" if kept else "left out"
            where = {"file": file, "line": line} if file else {"url": url}
            told = {"split": self.name, **where, "what": why}
            yield {**told, "tokens": given, "dropped": given - kept}

    def _places(self) -> list[tuple[str, int, str]]:
        """File, line and address of each example."""
        found: list[tuple[str, int, str]] = []
        for batch in self.shard.batches:
            columns = (batch.column(name).to_pylist() for name in ("file", "line", "url"))
            found += zip(*columns, strict=True)
        return found
