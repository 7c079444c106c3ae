"""Planted near-duplicates: edits of real documents of which it is known how alike they are.

Every run takes them out again, so that it can say how much of what it seeks it finds. They are
made from the documents with the least identities: a sample that only the content decides.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow as pa

from llm.corpus.documents import (
    EXTRACTED,
    by_identity,
    content_digest,
    document_id,
    open_table,
    write_rows,
)
from llm.corpus.near.minhash import jaccard, shingles
from llm.corpus.near.planted_settings import PlantSettings
from llm.corpus.near.recall import EDGES, TRUTH
from llm.corpus.near.signatures_settings import WORDS
from llm.step import Context, Inputs, StepResult
from llm.words import counted

LIBRARIES = ("numpy", "numba", "python")

SOURCE = "planted"
# Lengths of the documents that are edited: below, one edit is too coarse; above, they cost time.
FEWEST_WORDS, MOST_WORDS = 60, 3000
# Documents of a shard that are looked at to find some that fit.
_LOOKED_AT = 256

# A word, or one character of a script without spaces.
_TOKEN = re.compile(
    r"[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


class Origin(NamedTuple):
    """A real document, cut into its words with what stands between them."""

    doc_id: bytes
    language: str
    text: str
    pieces: list[str]  # words at odd places, what stands between at even ones

    @property
    def words(self) -> int:
        return len(self.pieces) // 2


Edit = Callable[[Origin, Origin, int, int], str]


def plant(values: PlantSettings, inputs: Inputs, context: Context) -> StepResult:
    """Make edits of some documents of all shards, as if they were a shard: documents.parquet.

    truth.parquet says of which document each is an edit and how alike they are: about as many for
    each twentieth from 0.5 to 1, and look-alikes, which have a page's frame and another's content.
    """
    chosen = _origins(inputs["documents"], values.documents)
    rows, truth = [], []
    for number, origin in enumerate(chosen):
        other = chosen[(number + 1) % len(chosen)]
        for name, text, similarity in _edits(origin, other, values.words):
            url = f"planted:{origin.doc_id.hex()}/{name}"
            identity = document_id(SOURCE, url, text)
            row = {"doc_id": identity, "url": url, "source": SOURCE, "language": origin.language}
            rows.append(row | {"language_score": 1.0, "licence": "", "opt_out": "", "text": text})
            made = {"doc_id": identity, "origin": origin.doc_id, "similarity": similarity}
            truth.append(made | {"edit": name.partition("/")[0]})
        context.report.progress(number + 1, len(chosen), "documents")
    documents = by_identity(pa.Table.from_pylist(rows, schema=EXTRACTED))
    known = by_identity(pa.Table.from_pylist(truth, schema=TRUTH))
    write_rows(context.out / "documents.parquet", documents)
    write_rows(context.out / "truth.parquet", known)
    return StepResult(
        counts={"documents": len(rows), "origins": len(chosen)},
        content=content_digest(documents, known),
        summary=f"{counted(len(rows), 'edit')} of {counted(len(chosen), 'document')}",
    )


def _origins(folders: Sequence[Path], count: int) -> list[Origin]:
    """The documents with the least identities among those of a fitting length."""
    found: list[Origin] = []
    for folder in folders:
        for doc_id, language, text in _first_rows(folder):
            if len(found) >= count and (not count or doc_id > found[-1].doc_id):
                break
            origin = split_up(doc_id, language, text)
            if FEWEST_WORDS <= origin.words <= MOST_WORDS:
                found.append(origin)
                found.sort(key=lambda origin: origin.doc_id)
                del found[count:]
    return found


def _first_rows(folder: Path) -> Iterator[tuple[bytes, str, str]]:
    """A shard's first documents: it is sorted by identity."""
    columns = ["doc_id", "language", "text"]
    with open_table(folder / "documents.parquet", EXTRACTED) as file:
        for batch in file.iter_batches(batch_size=_LOOKED_AT, columns=columns):
            yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)
            return


def split_up(doc_id: bytes, language: str, text: str) -> Origin:
    """Cut a document into its words."""
    pieces, last = [], 0
    for match in _TOKEN.finditer(text):
        pieces += [text[last : match.start()], match.group()]
        last = match.end()
    return Origin(doc_id, language, text, [*pieces, text[last:]])


def _edits(origin: Origin, other: Origin, n: int) -> Iterator[tuple[str, str, float]]:
    """Edited texts: (name, text, similarity to the origin), one a band, and look-alikes."""
    rng = Random(origin.doc_id)
    for low, high in pairwise(EDGES):
        made = edit_to(origin, other, low, high, rng, n)
        if made is not None:
            yield f"{made[0]}/{low:.2f}", made[1], made[2]
    alike = _alike_to(origin, n)
    shouted = origin.text.upper()
    if shouted != origin.text:
        yield "case/1.00", shouted, alike(shouted)
    if other is not origin:
        text = _look_alike(origin, other, rng.uniform(0.3, 0.7))
        yield "look_alike/0", text, alike(text)


def edit_to(
    origin: Origin, other: Origin, low: float, high: float, rng: Random, n: int = WORDS
) -> tuple[str, str, float] | None:
    """Edit a document until its similarity lies from low to high: (edit, text, similarity).

    None where one edit more jumps over that range, as in short texts.
    """
    name = rng.choice(tuple(EDITS))
    aim, alike = rng.uniform(low, high), _alike_to(origin, n)
    text, similarity = _aimed(EDITS[name], origin, other, rng, aim, alike)
    inside = low <= similarity < high or similarity == high == EDGES[-1]
    return (name, text, similarity) if inside and text != origin.text else None


def _alike_to(origin: Origin, n: int) -> Callable[[str], float]:
    own = shingles([origin.text], n)[0]
    return lambda text: jaccard(own, shingles([text], n)[0])


def _aimed(
    edit: Edit,
    origin: Origin,
    other: Origin,
    rng: Random,
    aim: float,
    alike: Callable[[str], float],
) -> tuple[str, float]:
    """The edit whose similarity comes nearest to `aim`: more edits, less similarity."""
    seed = rng.getrandbits(32)
    low, high = 0, origin.words
    best = (origin.text, 1.0)
    while low <= high:
        middle = (low + high) // 2
        text = edit(origin, other, middle, seed)
        similarity = alike(text)
        if abs(similarity - aim) < abs(best[1] - aim) or best[0] == origin.text:
            best = (text, similarity)
        if similarity > aim:
            low = middle + 1
        else:
            high = middle - 1
    return best


def _change_words(origin: Origin, other: Origin, amount: int, seed: int) -> str:
    """Words here and there exchanged for others, left out, or put in."""
    rng = Random(seed)
    pieces = origin.pieces[:]
    places = rng.sample(range(origin.words), origin.words)
    for place in places[:amount]:
        at = 2 * place + 1
        word = other.pieces[2 * rng.randrange(other.words) + 1]
        match rng.randrange(3):
            case 0:
                pieces[at] = word
            case 1:
                pieces[at] = ""
            case _:
                pieces[at] += f" {word}"
    return "".join(pieces)


def _cut_out(origin: Origin, other: Origin, amount: int, seed: int) -> str:
    """A stretch left out, as when a page loses paragraphs."""
    first = Random(seed).randrange(origin.words - amount + 1)
    return "".join(origin.pieces[: 2 * first] + origin.pieces[2 * (first + amount) :])


def _frame(origin: Origin, other: Origin, amount: int, seed: int) -> str:
    """Foreign text before and after, as a site's menus and footers."""
    before = Random(seed).randrange(amount + 1)
    return (
        "".join(other.pieces[: 2 * before])
        + "\n\n"
        + origin.text
        + "\n\n"
        + "".join(other.pieces[2 * before : 2 * amount])
    )


def _reorder(origin: Origin, other: Origin, amount: int, seed: int) -> str:
    """Blocks of the text in another order."""
    rng = Random(seed)
    cuts = sorted(rng.sample(range(1, origin.words), min(amount, origin.words - 1)))
    bounds = [0, *(2 * cut for cut in cuts), len(origin.pieces)]
    blocks = ["".join(origin.pieces[a:b]) for a, b in pairwise(bounds)]
    rng.shuffle(blocks)
    return "\n\n".join(blocks)


EDITS: dict[str, Edit] = {
    "words": _change_words,
    "cut": _cut_out,
    "frame": _frame,
    "order": _reorder,
}


def _look_alike(origin: Origin, other: Origin, share: float) -> str:
    """The frame of one page with the content of another: `share` of the words is exchanged."""
    exchanged = int(origin.words * share)
    first = (origin.words - exchanged) // 2
    middle = other.pieces[2 * (other.words // 4) :][: 2 * exchanged]
    return "".join(origin.pieces[: 2 * first] + middle + origin.pieces[2 * (first + exchanged) :])
