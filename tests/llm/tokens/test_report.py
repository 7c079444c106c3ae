"""The report's figures are counts that anyone can repeat."""

import pyarrow as pa
from tokenizers import Tokenizer

from llm.tokens.bpe import train_bpe
from llm.tokens.report import measure


def rows(*listed):
    names = ("source", "language", "text")
    arrays = [
        pa.array([row[place] for row in listed], pa.large_string() if place == 2 else pa.string())
        for place in range(3)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def test_bytes_per_token_are_told_by_source_and_language():
    tokenizer = train_bpe(["the cat and the hat " * 9], 270, "gpt4")
    texts = [("a", "en", "the cat"), ("a", "de", "die Katze é"), ("b", "en", "the hat and the cat")]
    stats = measure(tokenizer, [rows(*texts[:1]), rows(*texts[1:])])
    found = {(row["source"], row["language"]): row for row in stats["groups"]}
    assert list(found) == [("a", "de"), ("a", "en"), ("b", "en")]
    for source, language, text in texts:
        size, tokens = len(text.encode()), len(tokenizer.encode(text).ids)
        row = found[source, language]
        assert (row["documents"], row["bytes"], row["tokens"]) == (1, size, tokens)
        assert row["bytes_per_token"] == round(size / tokens, 4)
    assert stats["sources"]["a"]["bytes"] == 7 + 12
    assert stats["tokens"] == sum(row["tokens"] for row in found.values())


def test_tokens_never_used_are_those_that_no_text_gives():
    tokenizer = train_bpe(["the cat and the hat " * 9], 268, "gpt4")
    text = "the hat"
    stats = measure(tokenizer, [rows(("a", "en", text))])
    used = set(Tokenizer.from_str(tokenizer.to_str()).encode(text).ids)
    never = set(range(4, tokenizer.get_vocab_size())) - used
    assert stats["never_used"]["count"] == len(never)
    assert {row["id"] for row in stats["never_used"]["longest"]} <= never
    assert stats["never_used"]["longest"][0]["bytes"] >= 2
