"""An index of evaluation items by their n-grams, and the search for it in texts.

An item of at least n words is found by its n-grams, a shorter one whole. Case, punctuation, white
space and the ways Unicode writes a letter do not matter. What many items share is no sign of any of
them and stays out of the index; what many documents share counts only where an item stands whole.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from llm.corpus.contamination.sets import Item
from llm.corpus.documents import read_table, write_rows
from llm.corpus.text.characters import unspaced
from llm.corpus.text.words import word_hashes

LIBRARIES = ("numpy", "python")

# Shorter ones are common phrases: whole items, with one choice of many or in a script whose words are
# letters, and an item's fields by themselves.
MIN_WORDS, LEAST_WORDS, LEAST_PART_WORDS = 3, 5, 8
# An n-gram in more items than that is a template's, in more documents of a shard boilerplate.
MOST_ITEMS, MOST_DOCUMENTS = 8, 8
# The share of an item's words from which it counts as there, boilerplate or not.
WHOLE = 0.9

_ITEMS = pa.schema([("set", pa.string()), ("item", pa.string()), ("text", pa.string())])
# One row a text that is looked for: its item's row, its words outside templates, its n-grams' words.
_UNITS = pa.schema([("item", pa.int64()), ("words", pa.int64()), ("n", pa.int64())])
# One row an n-gram of a unit, sorted; place: its first word in the unit.
_GRAMS = pa.schema([("hash", pa.uint64()), ("unit", pa.int64()), ("place", pa.int64())])

_BASE = np.uint64(0xD6E8FEB86659FD93)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
_OPENING = "([{<«“‘"


class Found(NamedTuple):
    """An item in a text: texts[text][start:end] holds `overlap` of the words of items[item]."""

    text: int
    item: int
    overlap: float
    start: int
    end: int


@dataclass(frozen=True)
class Index:
    """The evaluation sets, ready to search for."""

    items: pa.Table
    units: np.ndarray  # (U, 3) int64: item, words, n
    hashes: np.ndarray  # (P,) uint64, sorted: one for each n-gram of each unit
    postings: np.ndarray  # (P, 2) int64: unit, place

    @cached_property
    def grams(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct hashes (G,) and where each one's postings begin (G + 1,)."""
        values, first = np.unique(self.hashes, return_index=True)
        return values, np.append(first, len(self.hashes))

    @cached_property
    def sieves(self) -> dict[int, tuple[np.ndarray, np.uint64]]:
        """By n, a table by a hash's first bits that says at once of most n-grams: not here."""
        tables = {}
        sizes = self.units[self.postings[:, 0], 2]
        for size in np.unique(sizes).tolist():
            hashes = self.hashes[sizes == size]
            bits = min(26, max(10, (32 * len(hashes)).bit_length()))
            table, shift = np.zeros(1 << bits, bool), np.uint64(64 - bits)
            table[hashes >> shift] = True
            tables[size] = table, shift
        return tables


def write_index(made: Index, folder: Path) -> None:
    """Write an index as items, units and grams (Parquet)."""
    write_rows(folder / "items.parquet", made.items)
    units = pa.table([pa.array(column) for column in made.units.T], schema=_UNITS)
    write_rows(folder / "units.parquet", units)
    columns = [pa.array(made.hashes), *(pa.array(column) for column in made.postings.T)]
    write_rows(folder / "grams.parquet", pa.table(columns, schema=_GRAMS))


def read_index(folder: Path) -> Index:
    """Read what `write_index` wrote."""
    units = read_table(folder / "units.parquet", _UNITS)
    grams = read_table(folder / "grams.parquet", _GRAMS)
    return Index(
        items=read_table(folder / "items.parquet", _ITEMS),
        units=np.stack([units[name].to_numpy() for name in _UNITS.names], axis=1),
        hashes=grams["hash"].to_numpy(),
        postings=np.stack([grams["unit"].to_numpy(), grams["place"].to_numpy()], axis=1),
    )


def make_index(
    listed: Iterable[Item], n: int, min_words: int = MIN_WORDS
) -> tuple[Index, dict[str, int]]:
    """An index of items that have min_words, and counts: items, units, grams, templates (n-grams
    left out), too_short (items of fewer words) and unfindable (those, and nothing but templates).
    """
    rows, texts, owners = [], [], []
    for number, item in enumerate(listed):
        rows.append({"set": item.set, "item": item.name, "text": item.texts[0]})
        whole = LEAST_WORDS if unspaced().search(item.texts[0]) else 1
        bounds = [
            whole,
            *[LEAST_WORDS] * (len(item.texts) - 1),
            *[LEAST_PART_WORDS] * len(item.parts),
        ]
        texts += [*item.texts, *item.parts]
        owners += [(number, max(least, min_words)) for least in bounds]
    words, ends = word_hashes(pa.array(list(map(_plain, texts)), pa.large_string()))
    units: list[tuple[int, int, int]] = []
    begins: list[int] = []
    seen: set[tuple[int, bytes]] = set()
    for (owner, least), first, last in zip(owners, ends[:-1], ends[1:], strict=True):
        mine = (owner, words[first:last].tobytes())
        if last - first >= least and mine not in seen:
            seen.add(mine)
            units.append((owner, int(last - first), _gram_words(int(last - first), n)))
            begins.append(first)
    table = np.array(units, np.int64).reshape(-1, 3)
    hashes, postings = [np.zeros(0, np.uint64)], [np.zeros((0, 2), np.int64)]
    for size, keys in _grams(words, {*table[:, 2].tolist()}):
        members = np.flatnonzero(table[:, 2] == size)
        repeats = table[members, 1] - size + 1
        place = _within(repeats)
        hashes.append(keys[np.repeat(np.array(begins, np.int64)[members], repeats) + place])
        postings.append(np.stack([np.repeat(members, repeats), place], axis=1))
    made = Index(
        items=pa.Table.from_pylist(rows, schema=_ITEMS),
        units=table,
        hashes=np.concatenate(hashes),
        postings=np.concatenate(postings),
    )
    made, templates = _without_templates(made)
    counts = {
        "items": len(rows),
        "units": len(made.units),
        "grams": len(made.hashes),
        "templates": templates,
        "too_short": len(rows) - len(np.unique(table[:, 0])),
        "unfindable": len(rows) - len(np.unique(made.units[made.postings[:, 0], 0])),
    }
    return made, counts


class Matches(NamedTuple):
    """N-grams of the index in texts, by text and place."""

    texts: np.ndarray  # (M,) int64
    places: np.ndarray  # (M,) int64, first word in the text
    grams: np.ndarray  # (M,) int64, into Index.grams


def match(index: Index, texts: Sequence[str]) -> Matches:
    """Every n-gram of the index in these texts."""
    words, offsets = word_hashes(pa.array(list(map(_plain, texts)), pa.large_string()))
    hashes, sieves = index.grams[0], index.sieves
    found = [Matches(*(np.zeros(0, np.int64) for _ in range(3)))]
    for size, keys in _grams(words, sieves.keys()):
        table, shift = sieves[size]
        likely = np.flatnonzero(table[keys >> shift])
        text = np.searchsorted(offsets, likely, side="right") - 1
        inside = likely + size <= offsets[text + 1]
        likely, text = likely[inside], text[inside]
        gram = np.minimum(np.searchsorted(hashes, keys[likely]), len(hashes) - 1)
        same = hashes[gram] == keys[likely]
        found.append(Matches(text[same], likely[same] - offsets[text[same]], gram[same]))
    every = [np.concatenate(columns) for columns in zip(*found, strict=True)]
    order = np.lexsort([every[1], every[0]])
    return Matches(*(column[order] for column in every))


def common(index: Index, matches: Matches) -> np.ndarray:
    """Which n-grams of the index are in more than MOST_DOCUMENTS of the texts (G,) bool."""
    return _spread(matches.grams, matches.texts, len(index.grams[0])) > MOST_DOCUMENTS


def judge(
    index: Index, matches: Matches, boilerplate: np.ndarray, min_overlap: float
) -> Iterator[tuple[int, int, float, int, int]]:
    """Items of which enough is in one place: (text, item, overlap, first word, last word + 1).

    Of the units of an item, the one of which most is there; by text and item.
    """
    if not len(matches.grams):
        return
    edges = index.grams[1]
    repeats = edges[matches.grams + 1] - edges[matches.grams]
    row = np.repeat(np.arange(len(matches.grams)), repeats)
    posting = edges[matches.grams[row]] + _within(repeats)
    unit, place = index.postings[posting].T
    text, at = matches.texts[row], matches.places[row]
    order = np.lexsort([at, unit, text])
    row, unit, place, text, at = (column[order] for column in (row, unit, place, text, at))
    words = index.units[unit, 1]
    opens = np.ones(len(row), bool)
    opens[1:] = (text[1:] != text[:-1]) | (unit[1:] != unit[:-1]) | (np.diff(at) > words[1:])
    best: dict[tuple[int, int], tuple[float, int, int]] = {}
    first = np.flatnonzero(opens)
    for begin, stop in zip(first, np.append(first[1:], len(row)), strict=True):
        item, total, size = index.units[unit[begin]].tolist()
        ours = slice(begin, stop)
        shared = boilerplate[matches.grams[row[ours]]]
        overlap = _overlap(place[ours], shared, total, size)
        key = (int(text[begin]), item)
        chosen = (overlap, int(at[begin]), int(at[stop - 1]) + size)
        if overlap >= min_overlap and chosen > best.get(key, (0.0, 0, 0)):
            best[key] = chosen
    for (number, item), (overlap, start, end) in sorted(best.items()):
        yield number, item, overlap, start, end


def locate(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The characters of each span of words (first, last + 1) of a text, without what surrounds them."""
    plain = _plain(text)
    wanted = {word for first, last in spans for word in (first, last - 1, last)}
    starts = _word_starts(plain, sorted(wanted))
    places = []
    for first, last in spans:
        # The last word with the punctuation that closes it.
        word = plain[starts[last - 1] : starts[last]].split(maxsplit=1)[0].rstrip(_OPENING)
        places.append((starts[first], starts[last - 1] + len(word)))
    return [(_place_in(text, plain, start), _place_in(text, plain, end)) for start, end in places]


def search(index: Index, texts: Sequence[str], min_overlap: float) -> list[Found]:
    """Every item in these texts, by text and item. For a notebook; shards go through the step."""
    matches = match(index, texts)
    hits = list(judge(index, matches, common(index, matches), min_overlap))
    return [
        Found(text, item, overlap, *locate(texts[text], [(first, last)])[0])
        for text, item, overlap, first, last in hits
    ]


def _gram_words(words: int, n: int) -> int:
    """Words in the n-grams of a unit: all of a short one; fewer than n where one edit would hit all."""
    return words if words < n else min(n, max(LEAST_PART_WORDS, words // 2))


def _grams(words: np.ndarray, sizes: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Hashes of every n consecutive words, for each n of `sizes`; good until the next is asked for."""
    keys = words.copy()
    for size in range(1, 1 + min(len(words), max(sizes, default=0))):
        if size > 1:  # from the n-grams of one size to those of the next, each one word longer
            keys = keys[:-1]
            keys *= _BASE
            keys += words[size - 1 :]
        if size in sizes:
            yield size, keys


def _without_templates(made: Index) -> tuple[Index, int]:
    """Leave out n-grams of more than MOST_ITEMS items; a unit's words are those of the others."""
    hashes, group = np.unique(made.hashes, return_inverse=True)
    owner = made.units[made.postings[:, 0], 0]
    template = _spread(group, owner, len(hashes)) > MOST_ITEMS
    kept = np.flatnonzero(~template[group])
    order = kept[np.lexsort([made.postings[kept, 1], made.postings[kept, 0], made.hashes[kept]])]
    units = made.units.copy()
    by_unit = np.lexsort([made.postings[kept, 1], made.postings[kept, 0]])
    unit, place = made.postings[kept][by_unit].T
    if len(unit):
        size = units[unit, 2]
        fresh = size.copy()
        same = unit[1:] == unit[:-1]
        fresh[1:][same] = np.minimum(size[1:], np.diff(place))[same]
        units[:, 1] = np.bincount(unit, fresh, len(units)).astype(np.int64)
    left = Index(made.items, units, made.hashes[order], made.postings[order])
    return left, int(template.sum())


def _overlap(places: np.ndarray, shared: np.ndarray, total: int, size: int) -> float:
    """The share of a unit's words in the n-grams at these places; boilerplate is not part of either."""
    every = _covered(places, size)
    if not shared.any() or (size < total and every >= WHOLE * total):
        return min(1.0, every / total)
    own = _covered(places[~shared], size)
    return own / max(total - (every - own), size)


def _covered(places: np.ndarray, size: int) -> int:
    """Words in n-grams of `size` words at these places."""
    distinct = np.unique(places)
    if not len(distinct):
        return 0
    return int(np.minimum(np.diff(distinct), size).sum()) + size


def _spread(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """In how many different places each of the values 0 to count - 1 comes: (count,)."""
    wide = int(places.max(initial=0)) + 1
    return np.bincount(np.unique(values * wide + places) // wide, minlength=count)


def _within(counts: np.ndarray) -> np.ndarray:
    """0, 1, ... within each of consecutive groups of these sizes."""
    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(starts, counts)


def _plain(text: str) -> str:
    """The text with one way to write each letter, and nothing invisible."""
    if text.isascii():
        return text
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))


def _word_starts(text: str, words: Sequence[int]) -> dict[int, int]:
    """Where words of these numbers begin (characters); the number of words gives the text's end."""
    chunks = [match.span() for match in re.finditer(r"\s*(?:\S.{0,2000}\S*|\S+)", text, re.DOTALL)]
    pieces = pa.array([text[start:end] for start, end in chunks], pa.large_string())
    _, offsets = word_hashes(pieces)
    starts = {}
    for word in words:
        chunk = int(np.searchsorted(offsets, word, side="right")) - 1
        if chunk >= len(chunks):
            starts[word] = len(text)
            continue
        begin, end = chunks[chunk]
        low, high = 0, end - begin  # the first `high` characters reach into the word, `low` do not
        while high - low > 1:
            middle = (low + high) // 2
            reach = word_hashes(pa.array([text[begin : begin + middle]], pa.large_string()))[1][1]
            low, high = (low, middle) if reach > word - offsets[chunk] else (middle, high)
        starts[word] = begin + high - 1
    return starts


def _place_in(text: str, plain: str, place: int) -> int:
    """The character of `text` before which it has become plain[:place]."""
    if text == plain:
        return place
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_plain(text[:middle])) <= place else (low, middle - 1)
    return low
