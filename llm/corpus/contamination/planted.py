"""Does the search for evaluation items find them? Items planted into copies of documents tell."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from llm.corpus.contamination.index import Index, judge, match
from llm.corpus.contamination.sets import DecontaminateSettings
from llm.corpus.text.words import word_hashes

# How many of each kind, and the length that documents are cut to (characters).
PLANTED, COPY_CHARACTERS = 25, 10_000
KINDS = ("verbatim", "restyled", "edited", "short")
NEAR_MISSES = ("shuffled", "excerpt")

_PUNCTUATION = re.compile(r"[^\w\s'’]")


@dataclass(frozen=True)
class _Plant:
    item: int
    kind: str
    base: int  # which document it is planted into
    text: str


def measure(
    index: Index,
    documents: Sequence[str],
    boilerplate: np.ndarray,
    settings: DecontaminateSettings,
    seed: bytes,
) -> dict[str, Any]:
    """Plant items into copies of these documents and search them as the documents are searched.

    kinds: recall of items planted verbatim, restyled (case, punctuation, white space, the ways
    Unicode writes a letter), edited (one word in fifteen is another) and short (fewer than n words,
    verbatim). near_misses: what shares an item's words (shuffled) or its opening (excerpt) but is
    no copy. precision: the share of planted items among all that is found. Null: nothing to count.
    """
    texts = [text[:COPY_CHARACTERS] for text in documents] or [""]
    random = np.random.default_rng([*seed])
    plants = _plants(index, len(texts), settings, random)
    copies = [_planted(texts[plant.base], plant.text, random) for plant in plants]
    found = _found(index, [*texts, *copies], boilerplate, settings.min_overlap)
    names = index.items["text"].to_pylist()
    counts = {kind: {"planted": 0, "found": 0} for kind in (*KINDS, *NEAR_MISSES)}
    missed, right, wrong = [], 0, 0
    for plant, hits in zip(plants, found[len(texts) :], strict=True):
        new = hits - found[plant.base]
        same = {item for item in hits if names[item] == names[plant.item]}
        counts[plant.kind]["planted"] += 1
        if plant.kind in NEAR_MISSES:
            counts[plant.kind]["found"] += bool(new)
            wrong += bool(new)
        elif same:
            counts[plant.kind]["found"] += 1
            right += 1
        else:
            row = index.items.slice(plant.item, 1).to_pylist()[0]
            missed.append({"kind": plant.kind, "set": row["set"], "item": row["item"]})
    recall = {
        kind: {**counts[kind], "recall": _share(counts[kind]["found"], counts[kind]["planted"])}
        for kind in KINDS
    }
    return {
        "kinds": recall,
        "near_misses": {kind: counts[kind] for kind in NEAR_MISSES},
        "precision": _share(right, right + wrong),
        "missed": missed,
    }


def restyled(text: str, random: np.random.Generator) -> str:
    """The same words in other case, with other punctuation, white space and Unicode forms."""
    forms: tuple[Literal["NFC", "NFD", "NFKC"], ...] = ("NFC", "NFD", "NFKC")
    mark = (" ", " - ", "... ")[random.integers(3)]
    case = (str.upper, str.lower, str.title)[random.integers(3)]
    words = _PUNCTUATION.sub(mark, text).split()
    gaps = random.choice([" ", "  ", "\n", "\t", "\u00a0"], len(words))
    mixed = "".join(f"{word}{gap}" for word, gap in zip(words, gaps, strict=True)).strip()
    # Letters whose capitals are more than one are another word in capitals.
    changed = case(mixed) if len(mixed.upper()) == len(mixed) else mixed
    return unicodedata.normalize(forms[random.integers(3)], changed)


def edited(text: str, random: np.random.Generator) -> str:
    """The text with one word in fifteen, at least one, replaced by another of its words."""
    pieces = re.split(r"(\s+)", text)
    words = pieces[::2]
    for place in random.choice(len(words), max(1, len(words) // 15), replace=False):
        pieces[2 * place] = f"{words[random.integers(len(words))]}y"
    return "".join(pieces)


def _plants(
    index: Index, documents: int, settings: DecontaminateSettings, random: np.random.Generator
) -> list[_Plant]:
    texts = index.items["text"].to_pylist()
    sizes = np.diff(word_hashes(pa.array(texts, pa.large_string()))[1])
    long = np.flatnonzero(sizes >= settings.n)
    quoted = [_excerpt(text, settings) for text in texts]
    pools = dict.fromkeys((*KINDS, *NEAR_MISSES), long)
    pools["short"] = np.flatnonzero(sizes < settings.n)
    pools["excerpt"] = np.flatnonzero([bool(quote) for quote in quoted])
    plants = []
    for kind, pool in pools.items():
        for item in random.choice(pool, min(PLANTED, len(pool)), replace=False).tolist():
            text = texts[item]
            if kind == "restyled":
                text = restyled(text, random)
            elif kind == "edited":
                text = edited(text, random)
            elif kind == "shuffled":
                text = " ".join(random.permutation(text.split()).tolist())
            elif kind == "excerpt":
                text = quoted[item]
            plants.append(_Plant(item, kind, int(random.integers(documents)), text))
    return plants


def _excerpt(text: str, settings: DecontaminateSettings) -> str:
    """Half of what it would take, from the longest line; nothing where that is short."""
    words = max((line.split() for line in text.split("\n")), key=len)
    return " ".join(words[: int(len(words) * settings.min_overlap / 2)]) * (
        len(words) >= 4 * settings.n
    )


def _planted(document: str, text: str, random: np.random.Generator) -> str:
    """A copy of the document with the text as a paragraph of its own somewhere in it."""
    places = [0, len(document), *(match.end() for match in re.finditer("\n", document))]
    place = places[random.integers(len(places))]
    return f"{document[:place]}\n\n{text}\n\n{document[place:]}"


def _found(
    index: Index, texts: Sequence[str], boilerplate: np.ndarray, min_overlap: float
) -> list[set[int]]:
    """The items in each text."""
    found: list[set[int]] = [set() for _ in texts]
    for text, item, *_ in judge(index, match(index, texts), boilerplate, min_overlap):
        found[text].add(item)
    return found


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
