"""Figures about each document that filters decide on, measured once.

Definitions follow the Gopher paper (Rae et al. 2021, appendix A.1.1). A word is a run of letters
or digits: punctuation is no word, so that technical text is not mistaken for symbols.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from llm.corpus.documents import (
    DOC_ID,
    EXTRACTED,
    batches,
    by_identity,
    content_digest,
    write_table,
)
from llm.corpus.words import LETTER, Batch, Spans, in_batches, lines, make_batch, mix, words
from llm.settings import section
from llm.step import Context, Inputs, StepResult

LIBRARIES = ("numpy", "python")

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = "•‣◦▪●-–*"
TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)

# Name of each signal and what it is. Fractions lie between 0 and 1.
SIGNALS = {
    "bytes": "bytes of the text (UTF-8)",
    "characters": "characters in the text",
    "words": "words",
    "mean_word_length": "characters in a word, on average",
    "hash_per_word": "number signs (#) for each word",
    "ellipsis_per_word": "ellipses (... or …) for each word",
    "bullet_lines": "fraction of lines that begin with a bullet",
    "ellipsis_lines": "fraction of lines that end in an ellipsis",
    "letter_words": "fraction of words with a letter",
    "stop_words": "how many of the, be, to, of, and, that, have, with occur",
    "duplicate_lines": "fraction of lines that occurred before",
    "duplicate_line_characters": "fraction of characters in such lines",
    "duplicate_paragraphs": "fraction of paragraphs that occurred before",
    "duplicate_paragraph_characters": "fraction of characters in such paragraphs",
    **{f"top_{n}_gram": f"fraction of characters in the commonest {n} words" for n in TOP_N},
    **{
        f"duplicate_{n}_grams": f"fraction of characters in {n} words in a row that occurred before"
        for n in DUPLICATE_N
    },
}
SCHEMA = pa.schema([("doc_id", DOC_ID), *((name, pa.float64()) for name in SIGNALS)])


@section
class SignalSettings:
    """Nothing to choose: every signal is measured for every document, so that filters can."""


def signals(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Every figure of `SIGNALS` for each text: a mapping from name to an array (D,) of float64."""
    parts = []
    for first, batch in in_batches(texts):
        parts.append(_measure_batch(batch, texts[first : first + len(batch.starts)]))
    if not parts:
        parts = [_measure_batch(make_batch([]), [])]
    return {name: np.concatenate([part[name] for part in parts]) for name in SIGNALS}


def measure(values: SignalSettings, inputs: Inputs, context: Context) -> StepResult:
    """Measure the documents of one extracted shard into signals.parquet, joined by doc_id."""
    tables, done = [], 0
    for rows in batches(inputs["documents"], ["doc_id", "text"], EXTRACTED):
        measured = signals(rows["text"].to_pylist())
        columns = [rows["doc_id"], *(pa.array(measured[name]) for name in SIGNALS)]
        tables.append(pa.Table.from_arrays(columns, schema=SCHEMA))
        done += rows.num_rows
        context.report.progress(done, None, "documents")
    table = by_identity(pa.concat_tables(tables or [SCHEMA.empty_table()]))
    write_table(context.out / "signals.parquet", table)
    return StepResult(
        counts={"documents": table.num_rows},
        content=content_digest(table),
        summary=f"{table.num_rows} documents measured",
    )


def _measure_batch(batch: Batch, texts: Sequence[str]) -> dict[str, np.ndarray]:
    count = len(texts)
    found = words(batch)
    characters = (batch.ends - batch.starts).astype(np.float64)
    number = _per_text(found.texts, count)
    size = np.fromiter((len(text.encode("utf-8", "surrogatepass")) for text in texts), float, count)
    result = {"bytes": size, "characters": characters, "words": number}
    result["mean_word_length"] = _ratio(_per_text(found.texts, count, found.lengths), number)
    hashes = np.fromiter((text.count("#") for text in texts), np.float64, count)
    ellipses = np.fromiter((t.count("...") + t.count("…") for t in texts), np.float64, count)
    result["hash_per_word"] = _ratio(hashes, number)
    result["ellipsis_per_word"] = _ratio(ellipses, number)
    result["letter_words"] = _ratio(
        _per_text(found.texts, count, _with_letter(batch, found)), number
    )
    result["stop_words"] = _stop_words(found, count)
    result |= _line_signals(batch, characters)
    result |= _n_gram_signals(found, characters)
    return result


def _per_text(texts: np.ndarray, count: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Sum weights (or count spans) by text: (S,) → (D,) float64."""
    return np.bincount(texts, weights, minlength=count).astype(np.float64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where there is nothing to divide by."""
    return part / np.maximum(whole, 1)


def _with_letter(batch: Batch, found: Spans) -> np.ndarray:
    letters = np.zeros(len(batch.points) + 1, np.int32)
    np.cumsum((batch.kinds & LETTER) != 0, out=letters[1:])
    return letters[found.ends] > letters[found.starts]


def _stop_words(found: Spans, count: int) -> np.ndarray:
    """How many different stop words each text has, in lower, title or upper case."""
    forms = [form for word in STOP_WORDS for form in (word, word.title(), word.upper())]
    known = words(make_batch([" ".join(forms)])).hashes
    order = np.argsort(known)
    at = np.minimum(np.searchsorted(known[order], found.hashes), len(known) - 1)
    hits = np.flatnonzero(known[order][at] == found.hashes)
    seen = np.zeros((count, len(STOP_WORDS)), bool)
    seen[found.texts[hits], order[at[hits]] // 3] = True
    return seen.sum(axis=1).astype(np.float64)


def _line_signals(batch: Batch, characters: np.ndarray) -> dict[str, np.ndarray]:
    count = len(characters)
    found, opens = lines(batch)
    number = _per_text(found.texts, count)
    points = batch.points
    bullets = np.isin(points[found.starts], [ord(bullet) for bullet in BULLETS])
    last = found.ends - 1
    dots = (points[last] == ord(".")) & (found.lengths >= 3)
    dots &= (points[last - 1] == ord(".")) & (points[last - 2] == ord("."))
    ellipses = dots | (points[last] == ord("…"))
    again = _occurred_before(found.hashes, found.texts)
    first = np.flatnonzero(opens)
    final = np.append(first[1:], len(opens))[: len(first)] - 1
    starts, ends = found.starts[first], found.ends[final]
    paragraphs = Spans(starts, ends, found.texts[first], batch.hashes(starts, ends))
    repeated = _occurred_before(paragraphs.hashes, paragraphs.texts)
    paragraph_number = _per_text(paragraphs.texts, count)

    def in_repeated(spans: Spans, mask: np.ndarray) -> np.ndarray:
        return _ratio(_per_text(spans.texts, count, spans.lengths * mask), characters)

    return {
        "bullet_lines": _ratio(_per_text(found.texts, count, bullets), number),
        "ellipsis_lines": _ratio(_per_text(found.texts, count, ellipses), number),
        "duplicate_lines": _ratio(_per_text(found.texts, count, again), number),
        "duplicate_line_characters": in_repeated(found, again),
        "duplicate_paragraphs": _ratio(
            _per_text(paragraphs.texts, count, repeated), paragraph_number
        ),
        "duplicate_paragraph_characters": in_repeated(paragraphs, repeated),
    }


def _occurred_before(hashes: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Whether the same hash stands earlier in the same text: (S,) bool."""
    again = np.ones(len(hashes), bool)
    again[_groups(hashes, texts)[0]] = False
    return again


def _groups(hashes: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put equal hashes of one text together: (first (R,), times (R,), group of each (S,)).

    first: the earliest index of each group; times: how many are in it.
    """
    keys = hashes ^ (texts.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))
    order = np.argsort(keys)
    keys = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else order
    times = np.diff(np.append(begins, len(order)))
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(len(begins)), times)
    first = np.minimum.reduceat(order, begins) if len(order) else order
    return first, times, group


def _n_gram_signals(found: Spans, characters: np.ndarray) -> dict[str, np.ndarray]:
    """Repeated 2- to 10-grams: fraction of each text's characters, by signal.

    Where an n-gram repeats, so do the n - 1 words before its last: each round sorts only what
    repeated in the one before.
    """
    count, result = len(characters), {}
    at, keys = np.arange(len(found.hashes)), found.hashes
    for n in range(2, max(DUPLICATE_N) + 1):
        whole = at + n <= len(found.texts)
        whole[whole] = found.texts[at[whole]] == found.texts[at[whole] + n - 1]
        at = at[whole]
        keys = mix(keys[whole] + mix(found.hashes[at + n - 1]) * np.uint64(2 * n + 1))
        first, times, group = _groups(keys, found.texts[at])
        if n in TOP_N:
            top = _top_n_gram(found, n, at[first[times > 1]], times[times > 1], count)
            result[f"top_{n}_gram"] = _ratio(top, characters)
        if n in DUPLICATE_N:
            again = np.ones(len(at), bool)
            again[first] = False
            covered = _covered(found, n, at[again], count)
            result[f"duplicate_{n}_grams"] = _ratio(covered, characters)
        repeated = times[group] > 1
        at, keys = at[repeated], keys[repeated]
    return result


def _top_n_gram(
    found: Spans, n: int, first: np.ndarray, times: np.ndarray, count: int
) -> np.ndarray:
    """Characters taken by each text's commonest n-gram, with its spaces: (D,).

    first, times: where each n-gram that repeats begins and how often it comes. Among equally
    common ones the first counts.
    """
    rank = np.lexsort((first, -times, found.texts[first]))
    first, times = first[rank], times[rank]
    texts, best = np.unique(found.texts[first], return_index=True)
    total = np.append(0, np.cumsum(found.lengths))
    lengths = total[first[best] + n] - total[first[best]] + n - 1
    result = np.zeros(count)
    result[texts] = lengths * times[best]
    return result


def _covered(found: Spans, n: int, again: np.ndarray, count: int) -> np.ndarray:
    """Characters of words in n-grams that occurred before, none counted twice: (D,).

    again: where such n-grams begin, ascending. In a stretch of repeated text only whole n-grams
    one after the other count, as if reading on after each: of 12 repeated words and n = 5, 10.
    """
    if not len(again):
        return np.zeros(count)
    breaks = np.flatnonzero(np.concatenate([[True], np.diff(again) != 1]))
    since = np.arange(len(again)) - np.repeat(breaks, np.diff(np.append(breaks, len(again))))
    heads = again[since % n == 0]
    covered = np.zeros(len(found.texts) + 1, np.int32)
    np.add.at(covered, heads, 1)
    np.add.at(covered, heads + n, -1)
    inside = np.cumsum(covered[:-1]) > 0
    return _per_text(found.texts, count, found.lengths * inside)
