"""Figures about each document that filters decide on, measured once.

Definitions are those of the filters they come from: Gopher (Rae et al. 2021, appendix A.1.1), C4
(Raffel et al. 2020), FineWeb (Penedo et al. 2024). Two kinds of word are counted. `tokens` are
what those filters' tools count: punctuation marks are tokens of their own, and so are n't and 's.
`words` are the tokens that are more than punctuation.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.corpus.documents import (
    DOC_ID,
    EXTRACTED,
    batches,
    by_identity,
    content_digest,
    write_table,
)
from llm.corpus.signals_settings import SignalSettings
from llm.corpus.text.characters import classes
from llm.corpus.text.stopwords import STOP_WORDS, WITHOUT_SPACES
from llm.corpus.text.words import mix, text_bytes
from llm.step import Context, Inputs, StepResult
from llm.words import counted

LIBRARIES = ("numpy", "python")

TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)
_ANY_END = ", whatever lines end in"

# Name of each signal and what it is. Fractions lie between 0 and 1.
SIGNALS = {
    "bytes": "bytes of the text (UTF-8)",
    "characters": "characters in the text",
    "words": "words: tokens that are more than punctuation",
    "tokens": "words and punctuation marks",
    "mean_word_length": "characters in a word, on average",
    "hash_per_word": "number signs (#) for each token",
    "ellipsis_per_word": "ellipses (... or …) for each token",
    "bullet_lines": "fraction of lines that begin with a bullet",
    "ellipsis_lines": "fraction of lines that end in an ellipsis",
    "letter_words": "fraction of tokens with a letter",
    "stop_words": "how many different stop words of its language occur; NaN where none are known",
    "duplicate_lines": "fraction of lines that occurred before",
    "duplicate_line_characters": "fraction of characters in such lines",
    "duplicate_paragraphs": "fraction of paragraphs that occurred before",
    "duplicate_paragraph_characters": "fraction of characters in such paragraphs",
    "distinct_2_grams": "fraction of two tokens in a row that are different ones",
    **{f"top_{n}_gram": f"fraction of characters in the commonest {n} tokens" for n in TOP_N},
    **{
        f"duplicate_{n}_grams": f"fraction of characters in {n} tokens in a row that occurred before"
        for n in DUPLICATE_N
    },
    "terminal_lines": "fraction of lines that end in a mark that ends a sentence",
    "short_lines": "fraction of lines of at most 30 characters",
    "newlines_per_word": "line ends for each token",
    "c4_sentences": "sentences in the lines that C4 keeps",
    "c4_lorem_ipsum": "lines that C4 reads with lorem ipsum in them",
    "c4_curly_brackets": "lines that C4 reads with a { in them",
    "c4_sentences_any_end": "sentences in the lines that C4 keeps" + _ANY_END,
    "c4_lorem_ipsum_any_end": "lines that C4 reads with lorem ipsum in them" + _ANY_END,
    "c4_curly_brackets_any_end": "lines that C4 reads with a { in them" + _ANY_END,
    "lines": "lines that are not blank",
    "paragraphs": "paragraphs: lines between blank ones",
    "sentences": "sentences",
    "mean_line_length": "characters in a line, on average",
    "letters": "fraction of characters that are letters",
    "digits": "fraction of characters that are digits",
    "capitals": "fraction of letters that are capitals",
    "punctuation": "fraction of characters that are punctuation",
    "longest_word": "characters in the longest word",
    "quality": "probability of the good label by the quality model; NaN without one",
    "perplexity": "perplexity of a byte (1 to 256) by the n-gram model; NaN without one",
}
SCHEMA = pa.schema([("doc_id", DOC_ID), *((name, pa.float64()) for name in SIGNALS)])


def signals(
    texts: Sequence[str] | pa.Array, languages: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Every figure of `SIGNALS` for each text: a mapping from name to an array (D,) of float64.

    languages: ISO 639 codes (D,), for the stop words; English where none are given. Frees the GIL.
    """
    from llm.corpus.text import measuring  # numba takes half a second to import

    column = texts if isinstance(texts, pa.Array) else _column(texts)
    data, offsets = text_bytes(column)
    count = len(column)
    codes = ["en"] * count if languages is None else list(languages)
    if len(codes) != count:
        raise ValueError(f"{len(codes)} languages for {count} texts: give one for each")
    salts = np.fromiter((_salt(code) for code in codes), np.uint64, count)
    figures = measuring.measure_texts(data, offsets, classes(), salts, *_stop_table())
    result = {
        name: np.ascontiguousarray(figures[:, at]) for at, name in enumerate(measuring.FIGURES)
    }
    _correct_stop_words(result["stop_words"], column, np.array(codes, dtype=str))
    for name in ("quality", "perplexity"):
        result[name] = np.full(count, math.nan)
    return {name: result[name] for name in SIGNALS}


def measure(values: SignalSettings, inputs: Inputs, context: Context) -> StepResult:
    """Measure the documents of one extracted shard into signals.parquet, joined by doc_id.

    Raises BadInput where a model of the settings cannot be read.
    """
    tables, done = [], 0
    for rows in batches(inputs["documents"], ["doc_id", "language", "text"], EXTRACTED):
        measured = signals(rows["text"], rows["language"].to_pylist())
        measured |= _by_models(values, rows["text"])
        columns = [rows["doc_id"], *(pa.array(measured[name]) for name in SIGNALS)]
        tables.append(pa.Table.from_arrays(columns, schema=SCHEMA))
        done += rows.num_rows
        context.report.progress(done, None, "documents")
    table = by_identity(pa.concat_tables(tables or [SCHEMA.empty_table()]))
    write_table(context.out / "signals.parquet", table)
    return StepResult(
        counts={"documents": table.num_rows},
        content=content_digest(table),
        summary=f"{counted(table.num_rows, 'document')} measured",
    )


def _by_models(values: SignalSettings, texts: pa.Array) -> dict[str, np.ndarray]:
    """The signals that take a model of the user's."""
    found = {}
    if values.quality_model:
        from llm.corpus.text import quality

        found["quality"] = quality.probabilities(
            texts.to_pylist(), values.quality_model, values.quality_label
        )
    if values.perplexity_model:
        from llm.corpus.text import perplexity

        found["perplexity"] = perplexity.perplexities(texts, values.perplexity_model)
    return found


def _column(texts: Sequence[str]) -> pa.Array:
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # lone surrogates, which have no UTF-8
        return pa.array([text.encode("utf-8", "replace") for text in texts], pa.large_string())


@lru_cache(maxsize=1024)
def _salt(language: str) -> int:
    """What keeps the stop words of languages apart in one hash table; 0 where it is not used."""
    if language not in STOP_WORDS or language in WITHOUT_SPACES:
        return 0
    return int(mix(np.frombuffer(language.encode().ljust(8), np.uint64))[0])


@lru_cache(maxsize=1)
def _stop_table() -> tuple[np.ndarray, np.ndarray]:
    """Stop words in lower, title and upper case in a hash table: keys, and the bit of each word."""
    keys, bits = np.zeros(1 << 13, np.uint64), np.zeros(1 << 13, np.int64)
    for language, words in STOP_WORDS.items():
        salt = _salt(language)
        for number, word in enumerate(words if salt else ()):
            for form in {word, word.title(), word.upper()}:
                key = _token_hash(form) ^ salt
                place = key % len(keys)
                while keys[place]:
                    place = (place + 1) % len(keys)
                keys[place], bits[place] = key, 1 << number
    return keys, bits


def _token_hash(word: str) -> int:
    """The hash that the compiled pass gives a token."""
    from llm.corpus.text.points import SEED, STEP

    value = int(SEED)
    for character in word:
        value = (value ^ ord(character)) * int(STEP) % (1 << 64)
        value ^= value >> 32
    return int(mix(np.array([value], np.uint64))[0])


def _correct_stop_words(found: np.ndarray, column: pa.Array, languages: np.ndarray) -> None:
    """Count stop words anywhere in a text without spaces; NaN for languages without a list."""
    for language in np.unique(languages).tolist():
        members = np.flatnonzero(languages == language)
        if language not in STOP_WORDS:
            found[members] = math.nan
        elif language in WITHOUT_SPACES:
            texts = column.take(pa.array(members))
            found[members] = 0
            for word in STOP_WORDS[language]:
                occurs = pc.match_substring(texts, word).to_numpy(zero_copy_only=False)
                found[members] += occurs
