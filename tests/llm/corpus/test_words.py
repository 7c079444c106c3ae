"""Words, lines and n-grams as arrays: what a regular expression over strings finds, too."""

import random
import re
from pathlib import Path

import pytest

from llm.corpus.words import Batch, Spans, in_batches, lines, make_batch, n_grams, words


def strings(batch: Batch, spans: Spans) -> list[str]:
    text = "".join(map(chr, batch.points))
    return [text[start:end] for start, end in zip(spans.starts, spans.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("os.path.join(a, *p)", ["os", "path", "join", "a", "p"]),
        (
            "Don't say ’tis — it’s rock 'n' roll",
            ["Don't", "say", "tis", "it’s", "rock", "n", "roll"],
        ),
        ("snake_case = 3.14e10 # x", ["snake_case", "3", "14e10", "x"]),
        ("naïve Ελληνικά русский עברית", ["naïve", "Ελληνικά", "русский", "עברית"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("我爱NLP。 日本 ok", ["我", "爱", "NLP", "日", "本", "ok"]),
        ("", []),
        (" \n ... !? \n", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(text: str, expected: list[str]) -> None:
    batch = make_batch([text])
    assert strings(batch, words(batch)) == expected


def test_words_never_reach_over_the_end_of_a_text() -> None:
    batch = make_batch(["one tw", "o", "", "three"])
    found = words(batch)
    assert strings(batch, found) == ["one", "tw", "o", "three"]
    assert found.texts.tolist() == [0, 0, 1, 3]


def test_hashes_are_equal_exactly_where_words_are(shared_data: Path) -> None:
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_text()[:300_000]
    batch = make_batch([text[i : i + 1000] for i in range(0, len(text), 1000)])
    found = words(batch)
    listed = strings(batch, found)
    assert listed == [
        word for part in "".join(map(chr, batch.points)).split("\n") for word in split(part)
    ]
    by_word = dict(zip(listed, found.hashes.tolist(), strict=True))
    assert [by_word[word] for word in listed] == found.hashes.tolist()
    assert len(set(by_word.values())) == len(by_word)


def split(text: str) -> list[str]:
    return re.findall(r"\w+(?:(?<=[A-Za-z])'(?=[A-Za-z])\w+)*", text)


def test_n_grams_are_those_of_each_text_alone() -> None:
    rng = random.Random(1)
    texts = [" ".join(rng.choice("ab") for _ in range(rng.randrange(12))) for _ in range(60)]
    batch = make_batch(texts)
    found = words(batch)
    for n in (1, 2, 5):
        hashes, positions = n_grams(found, n)
        grams = [
            (index, tuple(part[at : at + n]))
            for index, part in enumerate(text.split() for text in texts)
            for at in range(len(part) - n + 1)
        ]
        assert found.texts[positions].tolist() == [index for index, _ in grams]
        names = {gram: value for (_, gram), value in zip(grams, hashes.tolist(), strict=True)}
        assert [names[gram] for _, gram in grams] == hashes.tolist()
        assert len(set(names.values())) == len(names)


def test_lines_are_stripped_and_paragraphs_begin_after_blank_ones() -> None:
    batch = make_batch(["\n one \ntwo\n\n \n\tthree", "", "four\n"])
    found, opens = lines(batch)
    assert strings(batch, found) == ["one", "two", "three", "four"]
    assert opens.tolist() == [True, False, True, True]
    assert found.texts.tolist() == [0, 0, 0, 2]


def test_batches_cover_every_text_once() -> None:
    texts = ["x" * 200_000] * 7 + [""] * 3
    got = [(first, len(batch.starts)) for first, batch in in_batches(texts)]
    assert len(got) > 1
    assert [first for first, _ in got] == [sum(n for _, n in got[:i]) for i in range(len(got))]
    assert sum(number for _, number in got) == len(texts)
    assert list(in_batches([])) == []
