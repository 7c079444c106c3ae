"""Lines and paragraphs that come again across the corpus: found by hash, cut when documents are written.

In three steps: `hash_passages` names every passage of a shard by its hash, `find_repeated` compares
the hashes of the documents that are kept, with one another and with those of earlier nights, and
`cut` takes what it found out of a text.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from llm.corpus.documents import DOC_ID, EXTRACTED, batches, write_rows
from llm.corpus.passages_settings import NearPassages, PassageSettings
from llm.step import Context, Inputs, StepResult
from llm.words import counted

LIBRARIES = ("python",)

# One row a passage, by document and place; of passages compared by their n-grams, one row each
# n-gram (part: its number in the passage). size: solid characters of the whole document (those of
# its lines without surrounding white space); characters: those of the passage.
PASSAGES = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("size", pa.int64()),
        ("place", pa.int64()),
        ("part", pa.int64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("characters", pa.int64()),
        ("high", pa.uint64()),
        ("low", pa.uint64()),
    ]
)


def hash_passages(values: PassageSettings, inputs: Inputs, context: Context) -> StepResult:
    """Hash every passage of the one shard in `inputs["documents"]` into passages.parquet.

    Equal hashes (128 bits of BLAKE2b) mean equal lines but for the white space around them.
    """
    tables, documents = [PASSAGES.empty_table()], 0
    for batch in batches(inputs["documents"], ["doc_id", "text"], EXTRACTED):
        tables.append(_hashed(batch, values))
        documents += batch.num_rows
        context.report.progress(documents, None, "documents")
    table = pa.concat_tables(tables)
    write_rows(context.out / "passages.parquet", table)
    return StepResult(
        counts={"documents": documents, "passages": table.num_rows},
        summary=f"{counted(table.num_rows, values.unit)} of {counted(documents, 'document')}",
    )


class Passage(NamedTuple):
    """text[start:end], the end of its last line included; plain: its lines without white space around."""

    start: int
    end: int
    plain: str
    characters: int  # of plain, without line ends


def passages(text: str, unit: str) -> Iterator[Passage]:
    """The lines or the paragraphs of a text, in order, without blank ones."""
    place = start = 0
    lines: list[str] = []
    whole = unit == "paragraph"
    for line in f"{text}\n".split("\n"):
        plain = line.strip()
        if plain:
            start = start if lines else place
            lines.append(plain)
        if lines and not (whole and plain):
            # A line ends with itself, a paragraph with the blank line behind it.
            end = place if whole else min(place + len(line) + 1, len(text))
            end = min(end, len(text))
            joined = "\n".join(lines)
            yield Passage(start, end, joined, len(joined) - len(lines) + 1)
            lines = []
        place += len(line) + 1


def cut(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text without these spans (characters, in any order), and no more blank lines than before."""
    pieces: list[str] = []
    last = 0
    for start, end in [*sorted(spans), (len(text), len(text))]:
        piece = text[last:start]
        if last:
            blank = not pieces or pieces[-1].endswith("\n\n")
            piece = piece.lstrip("\n") if blank else piece
        if piece:
            pieces.append(piece)
        last = max(last, end)
    shorter = "".join(pieces)
    if len(shorter) == len(text) or text.endswith("\n"):
        return shorter
    return shorter.rstrip("\n")


def _hashed(batch: pa.RecordBatch, values: PassageSettings) -> pa.Table:
    """The passages of some documents."""
    ids, numbers, hashes = [], [], []
    texts = batch["text"].to_pylist()
    for identity, text in zip(batch["doc_id"].to_pylist(), texts, strict=True):
        found = list(passages(text, values.unit))
        size = sum(one.characters for one in found)
        for place, (start, end, plain, characters) in enumerate(found):
            if characters < values.min_characters:
                continue
            where = (size, place, start, end, characters)
            for part, gram in enumerate(_parts(plain, values.near)):
                ids.append(identity)
                numbers.append((*where, part))
                hashes.append(hashlib.blake2b(gram.encode(), digest_size=16).digest())
    numbered = np.array(numbers, np.int64).reshape(-1, 6).T
    halves = np.frombuffer(b"".join(hashes), "<u8").reshape(-1, 2).T
    names = ["size", "place", "start", "end", "characters", "part", "high", "low"]
    columns = dict(zip(names, map(pa.array, [*numbered, *halves]), strict=True))
    return pa.table({"doc_id": pa.array(ids, DOC_ID), **columns}).select(PASSAGES.names)


def _parts(plain: str, near: NearPassages | None) -> Iterable[str]:
    """What is compared of a passage: all of it, or its distinct n-grams where it has any."""
    words = plain.split() if near else []
    if near is None or len(words) < near.words:
        return (plain,)
    last = len(words) - near.words  # the one that ends the passage, whatever the stride
    starts = [*range(0, last, near.stride), last]
    return dict.fromkeys(" ".join(words[start : start + near.words]) for start in starts)
