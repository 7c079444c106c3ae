"""A faster encoder is used where its ids are those of tokenizers, and nowhere else."""

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from llm.tokens import encoders
from llm.tokens.bpe import train_bpe
from llm.tokens.encoders import Encoder, fastest, prepare, reference
from llm.tokens.unigram import train_unigram
from llm.tokens.wordpiece import train_wordpiece

TEXT = "the path of a file joins parts with one separator, and returns text: naïve 日本語 🙂 12345 "


def large(texts):
    return pa.array(texts, pa.large_string())


def chosen(tokenizer, texts):
    return fastest(prepare(tokenizer.to_str().encode()), texts)[0]


def odd_texts():
    rng = random.Random(3)
    alphabet = [
        *" \t\n\r'stdmlrve19aA.,!ſ<|>",
        "\u0301",
        "\u00a0",
        "日",
        "²",
        "🙂",
        "<|endoftext|>",
    ]
    return ["".join(rng.choice(alphabet) for _ in range(rng.randrange(80))) for _ in range(2000)]


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "llama3"])
def test_the_chosen_encoder_is_a_fast_one_with_the_ids_of_tokenizers(pattern):
    tokenizer = train_bpe([TEXT * 9], 400, pattern)
    encoder = chosen(tokenizer, large([TEXT]))
    assert encoder.name.startswith("gigatoken")
    texts = large(odd_texts())
    expected, offsets = reference(tokenizer).encode(texts)
    found = encoder.encode(texts)
    assert np.array_equal(found[0], expected)
    assert np.array_equal(found[1], offsets)
    assert not set(found[0].tolist()) & {0, 1, 2, 3}, "special tokens in text are text"


def test_slices_of_arrays_are_encoded_alone():
    tokenizer = train_bpe([TEXT * 9], 400, "gpt4")
    texts = large(["one", "two", "", "three", "four"])
    for encoder in (reference(tokenizer), chosen(tokenizer, texts)):
        ids, offsets = encoder.encode(texts.slice(1, 3))
        parts = [ids[a:b].tolist() for a, b in pairwise(offsets)]
        assert parts == [tokenizer.encode(text).ids for text in ("two", "", "three")]


@pytest.fixture
def forgetful():
    """Nothing that was prepared in another test, or here, is used again."""
    encoders._prepared.cache_clear()
    yield
    encoders._prepared.cache_clear()


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("fault", ["ids", "offsets", "error", "missing"])
def test_an_encoder_that_errs_is_passed_over(monkeypatch, fault):
    tokenizer = train_bpe([TEXT * 9], 400, "gpt4")
    truth = reference(tokenizer)

    def build(described):
        if fault == "missing":
            raise ImportError("no such library")

        def encode(texts):
            if fault == "error":
                raise RuntimeError("cannot")
            ids, offsets = truth.encode(texts)
            if fault == "ids":  # one id of one emoji
                ids[-1] += 1
            else:
                offsets[-1] += 1
            return ids, offsets

        return Encoder("hasty", encode)

    monkeypatch.setattr(encoders, "FASTER", (build,))
    assert chosen(tokenizer, large([TEXT])).name.startswith("tokenizers ")


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("fault", ["ids", "length", "error"])
def test_an_encoder_that_errs_on_the_documents_alone_is_passed_over(monkeypatch, fault):
    tokenizer = train_bpe([TEXT * 9], 400, "gpt4")
    truth = reference(tokenizer)
    documents = large([f"{TEXT} {number}" for number in range(50)])

    def build(described):
        def encode(texts):
            ids, offsets = truth.encode(texts)
            if len(texts) == len(documents):
                if fault == "error":
                    raise RuntimeError("cannot")
                if fault == "ids":
                    ids[3] += 1
                else:
                    ids, offsets = ids[:-1], offsets[:-1]
            return ids, offsets

        return Encoder("hasty", encode)

    monkeypatch.setattr(encoders, "FASTER", (build,))
    encoder, (ids, offsets) = fastest(prepare(tokenizer.to_str().encode()), documents)
    assert encoder.name.startswith("tokenizers ")
    expected = truth.encode(documents)
    assert np.array_equal(ids, expected[0])
    assert np.array_equal(offsets, expected[1])


@pytest.mark.usefixtures("forgetful")
def test_an_encoder_is_not_loaded_where_a_faster_one_is_right(monkeypatch):
    tokenizer = train_bpe([TEXT * 9], 400, "gpt4")
    loaded = []

    def build(name):
        def load(described):
            loaded.append(name)
            return Encoder(name, reference(Tokenizer.from_buffer(described)).encode)

        return load

    monkeypatch.setattr(encoders, "FASTER", (build("first"), build("second")))
    for _ in range(2):
        assert chosen(tokenizer, large([TEXT])).name == "first"
    assert loaded == ["first"], "once a process"


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_kinds_that_no_fast_encoder_reads_are_encoded_all_the_same(kind):
    words = [f"{TEXT} {number}" for number in range(200)]
    if kind == "unigram":
        tokenizer = train_unigram([words], 330, "gpt4", ["<|endoftext|>"])
    else:
        tokenizer = train_wordpiece([words], 330, ["<|endoftext|>"])
    encoder = chosen(tokenizer, large(words))
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    ids, offsets = encoder.encode(large(words[:3]))
    assert ids[: offsets[1]].tolist() == tokenizer.encode(words[0]).ids
    assert len(offsets) == 4


@pytest.mark.usefixtures("forgetful")
def test_shards_side_by_side_load_a_tokenizer_once(monkeypatch):
    loaded = []
    build = encoders.reference

    def count(tokenizer):
        loaded.append(tokenizer)
        return build(tokenizer)

    monkeypatch.setattr(encoders, "reference", count)
    described = train_bpe([TEXT * 9], 400, "gpt4").to_str().encode()
    with ThreadPoolExecutor(4) as threads:
        prepared = list(threads.map(prepare, [described] * 8))
    assert len(loaded) == 1
    assert len(set(map(id, prepared))) == 1
