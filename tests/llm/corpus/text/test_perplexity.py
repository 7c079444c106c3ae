"""Perplexity: the compiled model against its formula over strings, and real prose against torn."""

import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.documents import EXTRACTED, document_id, read_table, write_table
from llm.corpus.filters import FilterSettings, failures
from llm.corpus.presets.own_models import Models
from llm.corpus.signals import SCHEMA, SIGNALS, measure
from llm.corpus.signals_settings import SignalSettings, identity
from llm.corpus.text import perplexity
from llm.step import BadInput, Context

GOOD = ["the cat sat on the mat. the cat ate.", "a cat and a dög; 猫", "", "x", "the dog sat"]


class Reference:
    """Witten and Bell's formula, word for word, with counts in dictionaries."""

    def __init__(self, texts: list[str], order: int) -> None:
        self.order = order
        self.counts: Counter[bytes] = Counter()
        for text in map(str.encode, texts):
            for end in range(1, len(text) + 1):
                for start in range(max(0, end - order), end):
                    self.counts[text[start:end]] += 1

    def probability(self, context: bytes, byte: int) -> float:
        shorter = self.probability(context[1:], byte) if context else 1 / 256
        after = [count for gram, count in self.counts.items() if gram[:-1] == context]
        if not after:
            return shorter
        count = self.counts[context + bytes([byte])]
        return (count + len(after) * shorter) / (sum(after) + len(after))

    def perplexity(self, text: str) -> float:
        data = text.encode()
        each = [
            self.probability(data[max(0, at - self.order + 1) : at], byte)
            for at, byte in enumerate(data)
        ]
        return float(np.exp2(-np.log2(each).mean()))


@pytest.mark.parametrize("order", [1, 2, 5, 7])
def test_perplexity_is_that_of_the_formula(tmp_path: Path, order: int) -> None:
    perplexity.train(GOOD, tmp_path / "good.npz", order)
    asked = ["the cat sat", "a dog on a mat", "qqq", "猫 猫", "t", "tac eht \0", *GOOD[:2]]
    found = perplexity.perplexities([*asked, ""], str(tmp_path / "good.npz"))
    reference = Reference(GOOD, order)
    assert found[:-1] == pytest.approx([reference.perplexity(text) for text in asked], rel=1e-9)
    assert np.isnan(found[-1])


def test_a_table_that_grows_counts_the_same(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefgh", k=rng.randrange(400))) for _ in range(300)]
    texts.append("".join(rng.choices("abcdefghijkl", k=50_000)))
    perplexity.train(texts, tmp_path / "m.npz", 4)
    expected = Counter(
        text[start : start + n] for text in texts for n in range(1, 5)
        for start in range(len(text) - n + 1)
    )  # fmt: skip
    with np.load(tmp_path / "m.npz") as file:
        assert len(file["keys"]) == len(expected)
        assert (np.diff(file["keys"].astype(object)) > 0).all()
        assert sorted(file["counts"].tolist()) == sorted(expected.values())


@pytest.mark.real_data
def test_good_prose_is_less_perplexing_than_torn(shared_data: Path, tmp_path: Path) -> None:
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_text()
    model, held = str(tmp_path / "m.npz"), text[800_000:820_000]
    perplexity.train([text[:800_000]], model)
    words = re.findall(r"\S+\s*", held)
    rng = random.Random(0)
    worse = [
        "".join(rng.sample(words, len(words))),
        "".join("".join(rng.sample(word, len(word))) for word in words),
        "".join(rng.sample(held, len(held))),
    ]
    good, shuffled, torn, noise = perplexity.perplexities([held, *worse], model)
    assert 3 < good < shuffled < torn < noise


def test_the_step_measures_it_and_a_bound_drops_what_is_above(
    tmp_path: Path, context: Context
) -> None:
    model = tmp_path / "good.npz"
    perplexity.train(GOOD, model)
    texts = ["the cat sat", "zq#x!zv%", ""]
    rows = [
        {"doc_id": document_id("s", str(at), text), "url": str(at), "source": "s"}
        | {"language": "en", "language_score": 1.0, "text": text}
        for at, text in enumerate(texts)
    ]
    write_table(tmp_path / "e/documents.parquet", pa.Table.from_pylist(rows, schema=EXTRACTED))
    settings = SignalSettings(perplexity_model=str(model))
    measure(settings, {"documents": [tmp_path / "e"]}, context)
    table = read_table(context.out / "signals.parquet", SCHEMA)
    measured = {name: table[name].to_numpy() for name in SIGNALS}
    bounds = FilterSettings(presets=(), models=Models(max_perplexity=20))
    names, matrix = failures(bounds, measured, np.array(["en"] * 3), np.ones(3))
    assert names == ["models.max_perplexity"]
    failed = dict(zip(table["doc_id"].to_pylist(), matrix[:, 0].tolist(), strict=True))
    assert [failed[row["doc_id"]] for row in rows] == [False, True, False]
    before = identity(settings)
    assert list(before) == ["perplexity_model"]
    perplexity.train(GOOD[:1], model)
    assert identity(settings) != before
    assert perplexity.perplexities(["a dog"], str(model))[0] == pytest.approx(
        Reference(GOOD[:1], 5).perplexity("a dog")
    )


def test_the_same_texts_give_the_same_file(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        perplexity.train(GOOD, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"no model", "other arrays"])
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "odd.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        np.savez(path, order=5, keys=np.zeros(3), counts=np.zeros(3))
    with pytest.raises(BadInput, match=r"odd\.npz is not an n-gram model"):
        perplexity.perplexities(["text"], str(path))


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        perplexity.train(["", ""], tmp_path / "m.npz")
    with pytest.raises(ValueError, match="order is 1 to 7, not 8"):
        perplexity.train(GOOD, tmp_path / "m.npz", 8)
