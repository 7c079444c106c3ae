"""Signals: the array code against the definitions, spelled out slowly over strings."""

import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.documents import EXTRACTED, document_id, read_table, write_table
from llm.corpus.signals import (
    DUPLICATE_N,
    SCHEMA,
    SIGNALS,
    STOP_WORDS,
    TOP_N,
    SignalSettings,
    measure,
    signals,
)
from llm.step import Context

WORD = re.compile(r"\w+(?:(?<=[^\W\d_])['’](?=[^\W\d_])\w+)*")


def by_definition(text: str) -> dict[str, float]:
    """Gopher's figures (Rae et al. 2021, A.1.1), with words, lines and paragraphs as lists."""
    words = WORD.findall(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    number = max(1, len(words))
    size = max(1, len(text))
    result = {
        "bytes": len(text.encode()),
        "characters": len(text),
        "words": len(words),
        "mean_word_length": sum(map(len, words)) / number,
        "hash_per_word": text.count("#") / number,
        "ellipsis_per_word": (text.count("...") + text.count("…")) / number,
        "bullet_lines": sum(line[0] in "•‣◦▪●-–*" for line in lines) / max(1, len(lines)),
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / max(1, len(lines)),
        "letter_words": sum(any(c.isalpha() for c in word) for word in words) / number,
        "stop_words": len({word.lower() for word in words} & set(STOP_WORDS)),
    }
    for name, pieces in (("line", lines), ("paragraph", paragraphs)):
        again = [piece for at, piece in enumerate(pieces) if piece in pieces[:at]]
        result[f"duplicate_{name}s"] = len(again) / max(1, len(pieces))
        result[f"duplicate_{name}_characters"] = sum(map(len, again)) / size
    for n in TOP_N:
        counts = Counter(" ".join(words[at : at + n]) for at in range(len(words) - n + 1))
        gram, times = counts.most_common(1)[0] if counts else ("", 0)
        result[f"top_{n}_gram"] = len(gram) * times / size if times > 1 else 0
    for n in DUPLICATE_N:
        result[f"duplicate_{n}_grams"] = repeated_characters(words, n) / size
    return result


def repeated_characters(words: list[str], n: int) -> int:
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    seen: set[tuple[str, ...]] = set()
    again = []
    for at, gram in enumerate(grams):
        if gram in seen:
            again.append(at)
        seen.add(gram)
    inside: set[int] = set()
    run = last = -1
    for at in again:
        if run < 0 or at != last + 1:
            run = at
        last = at
        if (at - run) % n == 0:
            inside.update(range(at, at + n))
    return sum(len(words[at]) for at in inside)


def agree(texts: list[str]) -> None:
    measured = signals(texts)
    for index, text in enumerate(texts):
        expected = by_definition(text)
        got = {name: float(measured[name][index]) for name in SIGNALS}
        assert got == pytest.approx(expected, abs=1e-12), repr(text[:200])


def random_text(rng: random.Random) -> str:
    vocabulary = ["the", "of", "That", "x", "don't", "3", "#", "...", "…", "-", "•", "wörd", "日本"]
    pieces = [rng.choice(vocabulary[: rng.randrange(1, len(vocabulary) + 1)])]
    for _ in range(rng.randrange(120)):
        pieces.append(rng.choice([" ", " ", " ", "\n", "\n\n", " \n \n", "\t"]))
        if rng.random() < 0.2:
            pieces += pieces[-rng.randrange(1, 30) :]
        pieces.append(rng.choice(vocabulary))
    return "".join(pieces).replace("日本", "nihon")


def test_signals_are_what_their_definitions_say() -> None:
    rng = random.Random(7)
    agree([random_text(rng) for _ in range(150)])


@pytest.mark.parametrize("text", ["", " ", "\n\n", "one", "...", "#", "a\n\na\n\na", "…\n…"])
def test_texts_with_next_to_nothing_are_measured(text: str) -> None:
    agree([text])
    agree([text, "something else", text])


@pytest.mark.real_data
def test_signals_hold_on_real_prose(shared_data: Path) -> None:
    text = (shared_data / "lm/gutenberg/1342-0.txt").read_text()[20_000:80_000]
    agree([text[at : at + 4000] for at in range(0, len(text), 4000)])


def test_a_text_is_measured_alike_alone_and_among_others() -> None:
    rng = random.Random(3)
    texts = [random_text(rng) for _ in range(30)]
    together = signals(texts)
    for index, text in enumerate(texts):
        alone = signals([text])
        assert {name: alone[name][0] for name in SIGNALS} == {
            name: together[name][index] for name in SIGNALS
        }


def test_no_texts_give_empty_arrays() -> None:
    assert {name: values.shape for name, values in signals([]).items()} == dict.fromkeys(
        SIGNALS, (0,)
    )


def test_a_passage_said_twice_is_half_of_the_text() -> None:
    passage = " ".join(f"word{at:03}" for at in range(100))
    measured = signals([f"{passage} {passage}"])
    assert measured["duplicate_5_grams"][0] == pytest.approx(700 / 1599)
    assert measured["duplicate_10_grams"][0] == pytest.approx(700 / 1599)


def test_the_step_writes_a_row_for_every_document(tmp_path: Path, context: Context) -> None:
    texts = ["the first text", "and the second", ""]
    rows = [
        {"doc_id": document_id("s", str(at), text), "url": str(at), "source": "s"}
        | {"language": "en", "language_score": 1.0, "text": text}
        for at, text in enumerate(texts)
    ]
    write_table(tmp_path / "e/documents.parquet", pa.Table.from_pylist(rows, schema=EXTRACTED))
    result = measure(SignalSettings(), {"documents": [tmp_path / "e"]}, context)
    table = read_table(context.out / "signals.parquet", SCHEMA)
    assert table["doc_id"].to_pylist() == sorted(row["doc_id"] for row in rows)
    by_id = dict(zip(table["doc_id"].to_pylist(), table["words"].to_pylist(), strict=True))
    assert [by_id[row["doc_id"]] for row in rows] == [3, 3, 0]
    assert result.counts == {"documents": 3}
    assert np.isfinite(table["mean_word_length"].to_numpy()).all()
