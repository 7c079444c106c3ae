"""Whether the rows say what the examples do: the answers' text, the template's ids, the labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from llm.training.finetune.claims import Claim
from llm.training.finetune.ledger import Entries
from llm.training.finetune.proof.members import Member, Wrong
from llm.training.finetune.proof.told import Told

LIBRARIES = ("numpy", "tokenizers")

BROKEN = "\ufffd"  # what is decoded of a character that was cut in two
SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True)
class Pair:
    """An example of the rows, its entry in the ledger, and what it is to be."""

    member: Member
    entry: int
    claim: Claim


@dataclass
class Comparison:
    """Compares examples of the rows with their claims, many at a time.

    counts: `examples` whose text was compared; `templates`, of which all ids were; `spelled`, those that
    spell special tokens, which a template cannot; `changed`, answers that the tokenizer itself changes;
    `merged`, those that begin in one token with the line end before them.
    """

    told: Told
    entries: Entries
    wrong: Wrong
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._special, self._spelled = self.told.special(), self.told.spelled()

    def compare(self, pairs: Sequence[Pair]) -> None:
        """Raises Unproved for the first that is not what it is to be."""
        self.counts["examples"] += len(pairs)
        for marked in (False, True):
            said = [
                one for one in pairs if one.claim.text is not None and one.claim.marked == marked
            ]
            texts = [one.claim.text for one in said if one.claim.text is not None]
            for one, ids in zip(said, self.told.encode(texts, marked), strict=True):
                self._ids(one, [*one.claim.begin, *ids])
        answers = [self._answers(one) for one in pairs]
        decoded = iter(self.told.decode([ids for each in answers for ids, _ in each]))
        for one, each in zip(pairs, answers, strict=True):
            for (_, whole), answer in zip(each, one.claim.answers, strict=False):
                self._text(one, next(decoded), answer, whole)
            if one.claim.target is not None and not np.allclose(
                one.member.target, one.claim.target, rtol=1e-5, atol=1e-6
            ):
                self._stop(
                    one,
                    f"{one.member.target} is learned of it, and {one.claim.target} stands in the example",
                )

    def _stop(self, one: Pair, what: str) -> None:
        self.wrong(one.member.row, one.member.number, what)

    def _is_cut(self, one: Pair) -> bool:
        return bool(self.entries.kept[one.entry] < self.entries.given[one.entry])

    def _ids(self, one: Pair, wanted: list[int]) -> None:
        """The template, or the tokenizer's own marks, give the ids that are read."""
        member, claim, cut = one.member, one.claim, self._is_cut(one)
        there = member.ids.tolist()
        self.counts["templates"] += claim.whole
        if member.source:  # the end of a source that is too long is kept
            there = there[: member.source]
            if self._begins_before(one, wanted[-1]):
                merged = wanted[:-1][-len(there) :] if cut else wanted[:-1]
                if there == merged:
                    self.counts["merged"] += 1
                    return
            wanted = wanted[-len(there) :] if cut else wanted
        elif not claim.whole:
            if member.learn[: len(wanted)].any():
                self._stop(one, "a part of what stands before the answer is learned")
            there = there[: len(wanted)]
        elif claim.marked and cut:
            return  # of a pair, each text has lost its end
        else:
            # A last token that is not learned stands in no row.
            given = int(self.entries.given[one.entry])
            if len(wanted) == given or there != wanted[: len(there)]:
                wanted = wanted[: len(there)]
            elif not self._spells(one, wanted, there):
                self._stop(one, f"it had {given} tokens, and its text has {len(wanted)}")
        if there == wanted:
            return
        if self._spells(one, wanted, there):
            self.counts["spelled"] += 1
            return
        at = next(
            (n for n, (a, b) in enumerate(zip(there, wanted, strict=False)) if a != b),
            min(len(there), len(wanted)),
        )
        self._stop(
            one,
            f"token {at} is {self._name(there, at)} in the rows and {self._name(wanted, at)} where its text is "
            "read as the model folder says",
        )

    def _begins_before(self, one: Pair, line_end: int) -> bool:
        """Whether the first token of an answer has the line end before it, too; both may be unknown."""
        first = one.member.ids[one.member.source :][:1].tolist()
        return first == [line_end] or self.told.decode([first])[0].startswith("\n")

    def _spells(self, one: Pair, wanted: list[int], there: list[int]) -> bool:
        """Whether the text spells special tokens, which stay text in the rows."""
        texts = one.claim.text if isinstance(one.claim.text, tuple) else (one.claim.text or "",)
        spelled = sum(len(self._spelled.findall(text)) for text in texts)
        return spelled > sum(number in self._special for number in there)

    def _name(self, ids: Sequence[int], at: int) -> str:
        return "missing" if at >= len(ids) else repr(self.told.tokenizer.id_to_token(int(ids[at])))

    def _answers(self, one: Pair) -> list[tuple[list[int], bool]]:
        """The ids of each learned run without the stop, and whether the run is whole."""
        member, claim, cut = one.member, one.claim, self._is_cut(one)
        runs = member.runs()
        wanted = len(claim.answers)
        if len(runs) > wanted or (len(runs) < wanted and not cut):
            self._stop(one, f"{len(runs)} runs of tokens are learned, and it has {wanted} answers")
        found = []
        for begin, end in runs:
            ids = member.ids[begin:end].tolist()
            whole = ids[-1] in self.told.stops
            found.append((ids[:-1] if whole else ids, whole))
        return found

    def _text(self, one: Pair, said: str, answer: str, whole: bool) -> None:
        if said == answer or (not whole and answer.startswith(said.rstrip(BROKEN))):
            return
        if said.startswith("\n") and (
            said[1:] == answer or (not whole and answer.startswith(said[1:].rstrip(BROKEN)))
        ):
            self.counts[
                "merged"
            ] += not one.member.source  # of a pair, it was counted with the source
            return
        known = self.told.decode(self.told.encode([answer], marked=False))[0].strip()
        if said.strip() == known or (not whole and known.startswith(said.strip())):
            self.counts["changed"] += 1
            return
        at = next(
            (n for n, (a, b) in enumerate(zip(said, answer, strict=False)) if a != b),
            min(len(said), len(answer)),
        )
        self._stop(
            one,
            f"what is learned is not the answer: {said[at : at + SHOWN]!r} where the answer has "
            f"{answer[at : at + SHOWN]!r} (character {at})",
        )
