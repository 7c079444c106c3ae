"""Some rows for people to look at: what is learned of each example, what is read, and what was cut off."""

import itertools
from collections.abc import Sequence
from typing import Any

from llm.training.finetune.proof.members import Member
from llm.training.finetune.proof.split import Split
from llm.words import counted

LIBRARIES = ("numpy", "tokenizers")

LONGEST = 1_500  # characters of an example
EXAMPLES = 6  # of a row


def shown(split: Split, found: Sequence[Member]) -> list[dict[str, Any]]:
    """The rows that these examples stand in: {row, examples: [{place, pieces: [[kind, text], ...]}], more}.

    kind: trained (the label or value of a text, too), masked or cut.
    """
    by_row: dict[int, list[Member]] = {}
    for one in found:
        by_row.setdefault(one.row, []).append(one)
    return [
        {
            "split": split.name,
            "row": row,
            "examples": [_example(split, one) for one in members[:EXAMPLES]],
            "more": max(0, len(members) - EXAMPLES),
        }
        for row, members in by_row.items()
    ]


def _example(split: Split, one: Member) -> dict[str, Any]:
    entry = int(split.entries.written[one.number])
    bounds = sorted({0, one.source, len(one.ids), *(at for run in one.runs() for at in run)})
    runs = [(begin, end) for begin, end in itertools.pairwise(bounds) if begin < end]
    texts = split.told.decode([one.ids[begin:end].tolist() for begin, end in runs])
    pieces = [
        ["trained" if one.learn[begin] else "masked", text]
        for (begin, _), text in zip(runs, texts, strict=True)
    ]
    pieces = _shortened(pieces)
    lost = int(split.entries.given[entry] - split.entries.kept[entry])
    if lost:
        pieces.append(["cut", f" … {counted(lost, 'token')} cut"])
    origin = int(split.entries.origin[entry])
    if one.target is not None:
        pieces.append(["trained", f" → {split.said(origin)}"])
    return {"place": split.place(origin), "pieces": pieces}


def _shortened(pieces: list[list[str]]) -> list[list[str]]:
    """No more characters than a person looks at."""
    left, found = LONGEST, []
    for kind, text in pieces:
        if left <= 0:
            found.append([kind, "…"])
            break
        found.append([kind, text if len(text) <= left else text[:left] + "…"])
        left -= len(text)
    return found
