"""Signals: the compiled pass against the definitions, spelled out slowly over strings."""

import itertools
import math
import random
import re
import threading
import zipfile
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
    TOP_N,
    measure,
    signals,
)
from llm.corpus.signals_settings import SignalSettings, identity
from llm.corpus.text.measuring import FIGURES
from llm.corpus.text.stopwords import STOP_WORDS
from llm.step import BadInput, Context

# What spaCy 3.8 says (spacy.blank("en"), white space left out).
SPACY = {
    "Don't say it. Hello, world (again)!": "Do n't say it . Hello , world ( again ) !",
    "It’s John's, they're; I'm and we'll.": "It ’s John 's , they 're ; I 'm and we 'll .",
    "A well-known e-mail, 3.14 or 10-12 is 5% of $4.": (
        "A well - known e - mail , 3.14 or 10 - 12 is 5 % of $ 4 ."
    ),
    "See https://a.org/b-c?d=e, or a/b and x=yes.": "See https://a.org/b-c?d=e , or a / b and x = yes .",
    "Wait... what…no end.Then New": "Wait ... what … no end . Then New",
    '"Quoted," he said -- (see [12]).': '" Quoted , " he said -- ( see [ 12 ] ) .',
    "the U.S. was—is #1 & snake_case _x_": "the U.S. was — is # 1 & snake_case _ x _",
    "word1,word2 a,b 1,000 12:30 x:y": "word1,word2 a , b 1,000 12:30 x : y",
}
PREFIX = re.compile(r"\.\.+|\+(?![0-9])|[§%=$£€—–…,:;!?()\[\]{}<>_#*&\"'“”‘’«»]")
SUFFIX = re.compile(
    r"(?:\.\.+|['’][sS]|(?<=[0-9])[+%$£€]|[—–…,:;!?()\[\]{}<>_#*&\"'“”‘’«»]"
    r"|(?<=[0-9a-zß-öø-ÿ%+\-—–…,:;!?()\[\]{}<>_#*&\"'“”‘’«»])\.|(?<=[A-Z][A-Z])\.)$"
)
A = r"A-Za-zß-öø-ÿ"
INFIX = re.compile(
    r"\.\.+|…|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[a-zß-öø-ÿ\"'“”‘’«»])\.(?=[A-Z\"'“”‘’«»])"
    rf"|(?<=[{A}]),(?=[{A}])|(?<=[{A}0-9])(?:---?|[-–—~])(?=[{A}])|(?<=[{A}0-9])[:<>=/](?=[{A}])"
)
SHORT_FORM = re.compile(rf"(?<=[{A}])(n['’]t|['’](?:re|ve|ll|d|m))$", re.IGNORECASE)
PUNCTUATION = set("!/—”:&(\\#%+^~“„';’{|=[-`*–?$«,><)…@_.\"}»]")


def tokens_of(text: str) -> list[str]:
    """spaCy's way: prefixes and suffixes off, then split at infixes."""
    found = []
    for chunk in text.split():
        before, after = [], []
        while match := PREFIX.match(chunk):
            before.append(match[0])
            chunk = chunk[match.end() :]
        while match := not re.fullmatch(r"[a-z]\.", chunk) and SUFFIX.search(chunk):
            if not match.start():
                break
            after.append(match[0])
            chunk = chunk[: match.start()]
        if "://" not in chunk and (match := SHORT_FORM.search(chunk)):
            after.append(match[0])
            chunk = chunk[: match.start()]
        pieces, at = [], 0
        for match in INFIX.finditer(chunk) if "://" not in chunk else ():
            pieces += [chunk[at : match.start()], match[0]]
            at = match.end()
        found += [*before, *pieces, chunk[at:], *reversed(after)]
    return [token for token in found if token]


def by_definition(text: str) -> dict[str, float]:
    """The figures of Gopher (Rae et al. 2021, A.1.1) and FineWeb, with everything as lists."""
    tokens = tokens_of(text)
    words = [token for token in tokens if not set(token) <= PUNCTUATION]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    number, size = max(1, len(tokens)), max(1, len(text))
    letters = [c for c in text if c.isalpha()]
    pairs = list(itertools.pairwise(tokens))
    result = {
        "bytes": len(text.encode()),
        "characters": len(text),
        "words": len(words),
        "tokens": len(tokens),
        "mean_word_length": sum(map(len, words)) / max(1, len(words)),
        "hash_per_word": text.count("#") / number,
        "ellipsis_per_word": (text.count("...") + text.count("…")) / number,
        "bullet_lines": sum(line[0] in "•‣◦▪●-–*" for line in lines) / max(1, len(lines)),
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / max(1, len(lines)),
        "letter_words": sum(any(c.isalpha() for c in token) for token in tokens) / number,
        "stop_words": sum(
            bool({word, word.title(), word.upper()} & set(tokens)) for word in STOP_WORDS["en"]
        ),
        "distinct_2_grams": len(set(pairs)) / max(1, len(tokens) - 1),
        "terminal_lines": sum(line.endswith((".", "!", "?")) for line in lines)
        / max(1, len(lines)),
        "short_lines": sum(
            bool(line.strip()) and len(line.rstrip()) <= 30 for line in text.split("\n")
        )
        / max(1, len(lines)),
        "newlines_per_word": text.count("\n") / number,
        "lines": len(lines),
        "paragraphs": len(paragraphs),
        "mean_line_length": sum(map(len, lines)) / max(1, len(lines)),
        "letters": len(letters) / size,
        "digits": sum(c.isdigit() for c in text) / size,
        "capitals": sum(c.isupper() for c in letters) / max(1, len(letters)),
        "longest_word": max(map(len, words), default=0),
    }
    tokenized = [" ".join(line.split()) for line in lines]
    blocks = [[line.split() for line in part.split("\n")] for part in paragraphs]
    for name, pieces, keys in (("line", lines, tokenized), ("paragraph", paragraphs, blocks)):
        again = [piece for at, piece in enumerate(pieces) if keys[at] in keys[:at]]
        result[f"duplicate_{name}s"] = len(again) / max(1, len(pieces))
        result[f"duplicate_{name}_characters"] = sum(map(len, again)) / size
    for n in TOP_N:
        counts = Counter(" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
        gram, times = counts.most_common(1)[0] if counts else ("", 0)
        result[f"top_{n}_gram"] = len(gram) * times / size
    for n in DUPLICATE_N:
        result[f"duplicate_{n}_grams"] = repeated_characters(tokens, n) / size
    return result


def repeated_characters(tokens: list[str], n: int) -> int:
    """Characters in n-grams that occurred before, read from left to right without overlap."""
    seen: set[tuple[str, ...]] = set()
    at = total = 0
    while at <= len(tokens) - n:
        gram = tuple(tokens[at : at + n])
        if gram in seen:
            total += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return total


def agree(texts: list[str]) -> None:
    measured = signals(texts)
    for index, text in enumerate(texts):
        expected = by_definition(text)
        got = {name: float(measured[name][index]) for name in expected}
        assert got == pytest.approx(expected, abs=1e-12), repr(text[:300])


def random_text(rng: random.Random) -> str:
    vocabulary = [
        "the",
        "of",
        "That",
        "x",
        "don't",
        "3",
        "#",
        "...",
        "…",
        "-",
        "wörd",
        "a-b",
        "(a)",
    ]
    vocabulary += ["12%", "end.", "U.S.", "end.New", "a,b", "1-2", '"so,"', "it's", "TO", "x=y?"]
    vocabulary += ["--", "a--b", "http://a.b/c-d", "$5", "we’ll", "wait...", "snake_case", "A."]
    rng.shuffle(vocabulary)
    pieces = [rng.choice(vocabulary[: rng.randrange(1, len(vocabulary) + 1)])]
    for _ in range(rng.randrange(120)):
        pieces.append(rng.choice([" ", " ", " ", "\n", "\n\n", "\t"]))
        if rng.random() < 0.2:
            pieces += pieces[-rng.randrange(1, 30) :]
            pieces.append(" ")
        pieces.append(rng.choice(vocabulary))
    return "".join(pieces)


@pytest.mark.parametrize("text", SPACY)
def test_tokens_are_those_of_spacy(text: str) -> None:
    expected = SPACY[text].split(" ")
    assert tokens_of(text) == expected
    measured = signals([text])
    assert measured["tokens"][0] == len(expected)
    assert measured["letter_words"][0] * len(expected) == pytest.approx(
        sum(any(map(str.isalpha, token)) for token in expected)
    )


def test_signals_are_what_their_definitions_say() -> None:
    rng = random.Random(7)
    agree([random_text(rng) for _ in range(200)])


@pytest.mark.parametrize("text", ["", "\n\n", "one", "...", "#", "a\n\na\n\na", "…\n…", "(", "'s"])
def test_texts_with_next_to_nothing_are_measured(text: str) -> None:
    agree([text])
    agree([text, "something else", text])


@pytest.mark.real_data
def test_signals_hold_on_real_prose(shared_data: Path) -> None:
    text = (shared_data / "lm/gutenberg/1342-0.txt").read_text()[20_000:80_000]
    agree([text[at : at + 4000].strip() for at in range(0, len(text), 4000)])


def test_a_text_is_measured_alike_alone_and_among_others() -> None:
    rng = random.Random(3)
    texts = [random_text(rng) for _ in range(30)]
    together = signals(texts)
    for index, text in enumerate(texts):
        alone = signals([text])
        for name in SIGNALS:
            np.testing.assert_equal(alone[name][0], together[name][index])


def test_a_slice_of_an_arrow_column_is_measured_as_its_texts() -> None:
    texts = ["the first — text", "", "naïve 日本語", None, "and the last of them"]
    column = pa.array(texts, pa.large_string())[1:]
    from_strings = signals([text or "" for text in texts[1:]])
    for name, values in signals(column).items():
        np.testing.assert_equal(values, from_strings[name])


def test_no_texts_give_empty_arrays() -> None:
    assert {name: values.shape for name, values in signals([]).items()} == dict.fromkeys(
        SIGNALS, (0,)
    )
    assert [*FIGURES, "quality", "perplexity"] == list(SIGNALS)


def test_lone_surrogates_are_measured_too() -> None:
    assert signals(["a \ud800 b"])["letters"][0] == pytest.approx(2 / 5)


def test_a_passage_said_twice_is_half_of_the_text() -> None:
    passage = " ".join(f"word{at:03}" for at in range(100))
    measured = signals([f"{passage} {passage}"])
    assert measured["duplicate_5_grams"][0] == pytest.approx(700 / 1599)
    assert measured["duplicate_10_grams"][0] == pytest.approx(700 / 1599)


def test_the_two_orders_of_a_pair_are_different_pairs() -> None:
    assert signals(["x y x"])["distinct_2_grams"][0] == 1


@pytest.mark.parametrize(
    ("language", "text", "tokens", "stop_words"),
    [
        ("zh", "我爱北京,也爱NLP。", 6, 1),  # 我爱 北京 , 也爱 NLP 。
        ("ja", "これはコンピュータの本です。", 7, 5),
        ("th", "ที่นี่ และที่โน่น", 3, 2),
        ("de", "Der Hund und die Katze.", 6, 3),
        ("ar", "في البيت من على", 4, 3),
        ("am", "ሁሉም፡ሰዎች፡እኩል፡ናቸው።", 5, math.nan),
        ("bo", "བོད་སྐད་ཡིན།", 4, math.nan),
        ("la", "Gallia est omnis divisa", 4, math.nan),
    ],
)
def test_words_and_stop_words_suit_the_script(
    language: str, text: str, tokens: int, stop_words: float
) -> None:
    measured = signals([text, "the other of"], [language, "en"])
    np.testing.assert_equal(measured["stop_words"], [stop_words, 2])
    assert measured["tokens"][0] == tokens


def test_sentences_are_counted_line_by_line() -> None:
    text = "One. Two? (Three!) Four\nMr. Five is here...\n\nsix."
    assert signals([text])["sentences"][0] == 4 + 2 + 1


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("ሁሉም ሰዎች እኩል ናቸው። ነጻ ናቸው። አዎን", 3),
        ("བོད་སྐད་ཡིན། བོད་ཡིག་ཡིན། །", 2),
        ("မြန်မာစာ။ မြန်မာစကား။", 2),
        ("Բոլոր մարդիկ ծնվում են ազատ։ Նրանք հավասար են։", 2),
        ("सब मनुष्य समान हैं। वे स्वतंत्र हैं।", 2),
    ],
)
def test_sentences_end_as_the_script_ends_them(text: str, sentences: int) -> None:
    assert signals([text])["sentences"][0] == sentences


@pytest.mark.real_data
def test_words_of_a_declaration_are_words_in_scripts_with_separators(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        for name, separator, ends in (("amh", "፡", "።"), ("bod", "་", "།༎༏༐")):
            text = archive.read(f"udhr2/{name}.txt").decode()
            measured = signals([text])
            runs = re.split(rf"[\s{separator}{ends}]+", text)
            assert measured["words"][0] == pytest.approx(len([*filter(None, runs)]), rel=0.05)
            assert 2.5 < measured["mean_word_length"][0] < 6


def test_the_pass_leaves_other_threads_alone() -> None:
    """Python code gets on while a text is measured: the GIL is free."""
    text = "the quick brown fox and the lazy dog. " * 200_000
    signals(["compile now"])
    ticks = itertools.count()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.001):
            next(ticks)

    thread = threading.Thread(target=tick)
    thread.start()
    column = pa.array([text], pa.large_string())
    before = next(ticks)
    signals(column)
    after = next(ticks)
    done.set()
    thread.join()
    assert after - before > 3


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


def test_a_quality_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert identity(SignalSettings()) == {}
    with pytest.raises(BadInput, match=r"missing\.bin"):
        identity(SignalSettings(quality_model=str(tmp_path / "missing.bin")))
