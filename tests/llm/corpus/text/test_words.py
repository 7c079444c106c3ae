"""Words as hashes: what a regular expression over strings finds, too."""

import random
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.text.words import mix, text_bytes, word_hashes


def hashes_of(texts: list[str | None]) -> list[list[int]]:
    hashes, offsets = word_hashes(pa.array(texts, pa.large_string()))
    return [part.tolist() for part in np.split(hashes, offsets[1:-1])] if texts else []


def hash_of(word: str) -> int:
    (hashes,) = hashes_of([word])
    assert len(hashes) == 1, word
    return hashes[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("os.path.join(a, *p)", ["os", "path", "join", "a", "p"]),
        (
            "Don't say ’tis — it’s rock 'n' roll",
            ["don't", "say", "tis", "it's", "rock", "n", "roll"],
        ),
        ("snake_case = 3.14e10 # x", ["snake_case", "3", "14e10", "x"]),
        ("NAÏVE Ελληνικά русский עברית", ["naïve", "ελληνικά", "русский", "עברית"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("في البيت،من", ["في", "البيت", "من"]),
        ("我爱NLP。 日本 ok 3年", ["我", "爱", "nlp", "日", "本", "ok", "3", "年"]),
        ("これはコンピュータの本", ["こ", "れ", "は", "コンピュータ", "の", "本"]),
        ("ที่เป็นของ", ["ที่", "เป็", "น", "ข", "อ", "ง"]),
        ("𠀀𠀁 😀 x", ["𠀀", "𠀁", "x"]),
        ("", []),
        (" \n ... !? \n", []),
    ],
)
def test_words_suit_the_script(text: str, expected: list[str]) -> None:
    assert hashes_of([text]) == [[hash_of(word) for word in expected]]


def test_words_never_reach_over_the_end_of_a_text() -> None:
    found = hashes_of(["one tw", "o", "", "three don'", "t"])
    words = [["one", "tw"], ["o"], [], ["three", "don"], ["t"]]
    assert found == [[hash_of(word) for word in part] for part in words]


@pytest.mark.real_data
def test_hashes_are_equal_exactly_where_words_are(shared_data: Path) -> None:
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_text()[:300_000]
    parts: list[str | None] = [text[at : at + 1000] for at in range(0, len(text), 1000)]
    listed = [
        word
        for part in parts
        for word in re.findall(r"\w+(?:(?<=[a-z])'(?=[a-z])\w+)*", (part or "").lower())
    ]
    hashes = [value for part in hashes_of(parts) for value in part]
    by_word = dict(zip(listed, hashes, strict=True))
    assert [by_word[word] for word in listed] == hashes
    assert len(set(by_word.values())) == len(by_word)


def test_a_slice_with_nulls_is_read_as_its_texts() -> None:
    column = pa.array(["zero", "one two", None, "", "three"], pa.large_string())[1:]
    hashes, offsets = word_hashes(column)
    assert offsets.tolist() == [0, 2, 2, 2, 3]
    assert hashes.tolist() == [hash_of(word) for word in ("one", "two", "three")]
    assert word_hashes(column.cast(pa.string()))[0].tolist() == hashes.tolist()
    empty, none = word_hashes(pa.array([], pa.large_string()))
    assert (len(empty), none.tolist()) == (0, [0])


def test_text_bytes_are_the_texts_in_utf_8() -> None:
    texts = ["a", "é", "", "日本"]
    data, offsets = text_bytes(pa.array(["left out", *texts], pa.large_string())[1:])
    pieces = [data[start:end].tobytes().decode() for start, end in pairwise(offsets)]
    assert pieces == texts
    assert not data.flags.writeable


def test_mix_is_the_finaliser_of_splitmix64() -> None:
    """The generator's published first outputs for the seed 1234567."""
    step, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    states = [(1234567 + step * n) & mask for n in (1, 2, 3)]
    assert mix(np.array(states, np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_random_texts_have_the_words_of_a_simple_reading() -> None:
    rng = random.Random(1)
    pieces = ["a", "B", "é", "9", "_", "'", "’", " ", "\n", "-", "。", "ß", "x'", "日"]
    texts: list[str | None] = [
        "".join(rng.choice(pieces) for _ in range(rng.randrange(40))) for _ in range(300)
    ]
    pattern = re.compile(r"日|(?:(?!日)\w)+(?:(?<=[^\W\d_日])['’](?=[^\W\d_日])(?:(?!日)\w)+)*")
    for text, found in zip(texts, hashes_of(texts), strict=True):
        words = [word.replace("’", "'") for word in pattern.findall((text or "").lower())]
        assert found == [hash_of(word) for word in words], repr(text)
