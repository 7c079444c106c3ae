"""SentencePiece models with pieces of the user's: the ids and the text of sentencepiece itself."""

import random
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from llm.tokens.imports import read_tokenizer, tokenizer_files
from llm.tokens.plain_text import encode_text

SYMBOLS = ["<sep>", "①", "x y", "#1"]
PARTS = [*SYMBOLS, *("a", "b", " ", "  ", "c", "the cat", "é", "ﬁ", "</s>", "<s>", "<", "日", "\n")]
MORE = [*PARTS, "<0x41>", "語", "①<sep>", "▁"]
OPTIONS: list[dict[str, Any]] = [
    {"model_type": "unigram"},
    {"model_type": "bpe"},
    {"model_type": "unigram", "add_dummy_prefix": False},
    {"model_type": "bpe", "add_dummy_prefix": False},
    {"model_type": "unigram", "byte_fallback": True},
    {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"},
    {"model_type": "unigram", "remove_extra_whitespaces": False},
    {"model_type": "unigram", "treat_whitespace_as_suffix": True},
    {"model_type": "bpe", "treat_whitespace_as_suffix": True, "remove_extra_whitespaces": False},
    {"model_type": "bpe", "normalization_rule_name": "identity"},
]  # fmt: skip


def text(seed: int, count: int, parts: list[str]) -> str:
    return "".join(random.Random(seed).choices(parts, k=count))


@pytest.fixture(scope="module", params=OPTIONS, ids=lambda one: " ".join(map(str, one.values())))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentencepiece")
    lines = [text(seed, 12, PARTS).replace("\n", " ") + " the < </ cab abc" for seed in range(400)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(folder / "small"),
        vocab_size=330 if request.param.get("byte_fallback") else 70,
        user_defined_symbols=SYMBOLS,
        hard_vocab_limit=False,
        minloglevel=2,
        **request.param,
    )
    return folder / "small.model"


def test_ids_and_text_are_those_of_sentencepiece(model: Path) -> None:
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ours = read_tokenizer(tokenizer_files(model), None)
    texts = ["", "a<sep>b", "<sep>x", "<sep>", " <sep> a ", "x y", "①①", "a</s>b </s> <s>"]
    texts += [text(seed, seed % 9, MORE) for seed in range(1000, 1600)]
    for one in texts:
        expected = theirs.encode(one)
        assert encode_text(ours, one).ids == expected, repr(one)
        # There the unknown is shown as "⁇", and a first ▁ of the text's own is dropped.
        if theirs.unk_id() not in expected and "▁" not in one:
            assert ours.decode(expected) == theirs.decode(expected), repr(one)
    assert [ours.token_to_id(symbol) for symbol in SYMBOLS] == theirs.piece_to_id(SYMBOLS)
