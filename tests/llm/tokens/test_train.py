import base64
import json
import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pyarrow as pa
import pytest
from tokenizers import Regex, Tokenizer, pre_tokenizers

from llm.corpus import documents
from llm.step import BadInput, Reporter
from llm.tokens.bpe import train_bpe
from llm.tokens.patterns import PATTERNS
from llm.tokens.special import SPECIAL_TOKENS, read_special_tokens_as_text
from llm.tokens.train import TokenizerSettings, TrainTokenizer, train

ODD_TEXTS = [
    "",
    " ",
    "\n\n\t  \r\n",
    "naïve café 日本語 🙂👩‍👩‍👧 \u0301\u200f שלום",
    "\x00\x01\x7f\ufeff\ufffd\U0010ffff",
    "if x:\n    return  1_000_000 ** -2  # don't\n",
    "<|endoftext|> is how it ends<|im_end|>",
    "".join(map(chr, range(1, 0x800))),
]


def merges_of(tokenizer):
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def test_the_same_documents_give_the_same_file(corpus, fraction, tokenizer_folder, tmp_path):
    """Also in another process with other hashes, and with the shards in another order."""
    expected = (tokenizer_folder / "tokenizer.json").read_bytes()
    code = (
        "import sys; from pathlib import Path; from llm.step import Context; "
        "from llm.tokens.train import *; "
        "out = Path(sys.argv[1]); "
        "train(TrainTokenizer(settings=TokenizerSettings(vocabulary=330), "
        f"validation_fraction={fraction}), "
        "{'documents': [Path(name) for name in sys.argv[2:]]}, Context(out=out, work=out))"
    )
    for seed, folders in (("1", corpus), ("77", corpus[::-1])):
        out = tmp_path / seed
        out.mkdir()
        subprocess.run(
            [sys.executable, "-c", code, str(out), *map(str, folders)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": seed[0]},
        )
        assert (out / "tokenizer.json").read_bytes() == expected
        stats = json.loads((out / "stats.json").read_text())
        assert stats == json.loads((tokenizer_folder / "stats.json").read_text())


def test_special_tokens_and_bytes_come_first(tokenizer_folder):
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    alphabet = {tokenizer.id_to_token(number) for number in range(4, 260)}
    assert alphabet == set(pre_tokenizers.ByteLevel.alphabet())
    assert tokenizer.get_vocab_size() == 330


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_any_text_comes_back_unchanged(text, pattern):
    tokenizer = train_bpe(["the cat and the hat " * 9], 264, pattern)
    read_special_tokens_as_text(tokenizer)
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert not set(ids) & {0, 1, 2, 3}


@pytest.mark.real_data
def test_text_in_every_language_comes_back_unchanged(shared_data, tokenizer_folder):
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    with zipfile.ZipFile(shared_data / "lm" / "udhr2" / "udhr2.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        texts = [archive.read(name).decode("utf8", errors="replace")[:3000] for name in names]
    assert len(texts) > 300
    found = tokenizer.decode_batch([one.ids for one in tokenizer.encode_batch_fast(texts)])
    assert found == texts


def pairs_in(symbols):
    return list(pairwise(symbols))


def merge(symbols, pair):
    """Join each occurrence of `pair`, from the left."""
    result = []
    for symbol in symbols:
        if result and not result[-1].done and (result[-1].text, symbol) == pair:
            result[-1] = Part(result[-1].text + symbol, True)
        else:
            result.append(Part(symbol, False))
    return [part.text for part in result]


class Part(NamedTuple):
    text: str
    done: bool


def naive_merges(words, count, prefer):
    """BPE as in Sennrich et al. 2016; `prefer` chooses between pairs that are equally frequent."""
    splits = {word: list(word) for word in words}
    pairs = Counter()
    for word, symbols in splits.items():
        for pair in pairs_in(symbols):
            pairs[pair] += words[word]
    merges = []
    while len(merges) < count:
        most = max(pairs.values())
        best = prefer([pair for pair, often in pairs.items() if often == most])
        merges.append(best)
        for word, symbols in splits.items():
            if best[0] not in symbols or best not in pairs_in(symbols):
                continue
            splits[word] = merge(symbols, best)
            for pair in pairs_in(symbols):
                pairs[pair] -= words[word]
            for pair in pairs_in(splits[word]):
                pairs[pair] += words[word]
    return merges


@pytest.mark.real_data
def test_merges_are_the_references_but_for_the_order_of_ties(shared_data):
    """A naive trainer that breaks ties as the reference does gives its 243 merges; breaking them as
    `tokenizers` does (the pair of the lowest ids), it gives ours."""
    folder = shared_data / "tokenizer"
    text = (folder / "subword_nmt" / "corpus.en").read_text()
    lines = (folder / "cs336" / "train-bpe-reference-merges.txt").read_text().split("\n")
    # The byte that stands for a blank is spelled Ġ; the others here stand for themselves.
    reference = [tuple(line.split(" ")) for line in lines if line]
    ours = train_bpe([text], 500, "gpt2", special_tokens=["<|endoftext|>"])

    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERNS["gpt2"]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words = Counter(word for word, _ in splitter.pre_tokenize_str(text))
    to_byte = {shown: byte for byte, shown in bytes_shown().items()}

    def largest(pairs):
        return max(pairs, key=lambda pair: [bytes(to_byte[c] for c in part) for part in pair])

    assert naive_merges(words, 243, largest) == reference

    ids = ours.get_vocab()

    def lowest_ids(pairs):
        known = [pair for pair in pairs if ids.keys() >= set(pair)]
        return min(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))

    assert naive_merges(words, 243, lowest_ids) == merges_of(ours)


def bytes_shown():
    """GPT-2's spelling of bytes as visible characters (encoder.py, bytes_to_unicode)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {
        byte: chr(256 + place) for place, byte in enumerate(hidden)
    }


PUBLISHED_SPECIALS = {  # openai/tiktoken, openai_public.py
    "r50k_base": {"<|endoftext|>": 50256},
    "cl100k_base": {
        "<|endoftext|>": 100257,
        "<|fim_prefix|>": 100258,
        "<|fim_middle|>": 100259,
        "<|fim_suffix|>": 100260,
        "<|endofprompt|>": 100276,
    },
}


def encode_by_rank(piece, ranks):
    """BPE over a piece's bytes by tiktoken's rule: join the neighbours of the lowest rank first."""
    parts = [bytes([byte]) for byte in piece]
    while len(parts) > 1:
        joined = [ranks.get(left + right, 1 << 30) for left, right in pairs_in(parts)]
        place = joined.index(min(joined))
        if joined[place] == 1 << 30:
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return [ranks[part] for part in parts]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("pattern", "encoding", "cases"), [("gpt2", "r50k_base", 67), ("gpt4", "cl100k_base", 75)]
)
def test_the_patterns_cut_text_as_gpt2_and_gpt4_do(shared_data, pattern, encoding, cases):
    """With the published ranks behind our patterns, all ids of tiktoken's test plan come out."""
    folder = shared_data / "tokenizer" / "tiktoken"
    lines = (folder / f"{encoding}.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(key): int(rank) for key, rank in map(bytes.split, lines)}
    plan = (folder / "TestPlans.txt").read_bytes().decode()
    found = re.findall(
        rf"EncodingName: {encoding}\r?\nSample: (.*?)\r?\nEncoded: \[(.*?)\]", plan, re.DOTALL
    )
    splitter = pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated")
    assert len(found) == cases
    for text, ids in found:
        encoded = []
        for part in re.split(r"(<\|\w+\|>)", text):
            if part in PUBLISHED_SPECIALS[encoding]:
                encoded.append(PUBLISHED_SPECIALS[encoding][part])
                continue
            for piece, _ in splitter.pre_tokenize_str(part):
                encoded += encode_by_rank(piece.encode(), ranks)
        assert encoded == [int(number) for number in ids.split(",")]


def test_numbers_are_cut_into_groups_of_three():
    splitter = pre_tokenizers.Split(Regex(PATTERNS["gpt4"]), "isolated")
    pieces = [piece for piece, _ in splitter.pre_tokenize_str("in 1234567, don't\n\n  x")]
    assert pieces == ["in", " ", "123", "456", "7", ",", " don", "'t", "\n\n", " ", " x"]


def test_held_out_text_is_not_looked_at(tmp_path, context, fraction, some_texts, write_documents):
    texts = some_texts("docs")
    for url in texts:
        if documents.validation(documents.hash64(url), fraction):
            texts[url] = "zyzzyva " * 500
    folder = write_documents(tmp_path / "documents", texts)
    values = TrainTokenizer(
        settings=TokenizerSettings(vocabulary=300), validation_fraction=fraction
    )
    train(values, {"documents": [folder]}, context)
    tokenizer = Tokenizer.from_file(str(context.out / "tokenizer.json"))
    assert not [token for token in tokenizer.get_vocab() if "zy" in token]


def test_a_vocabulary_too_large_is_refused_with_the_largest_possible(corpus, context):
    settings = TokenizerSettings(vocabulary=100_000)
    with pytest.raises(BadInput, match=r"at most [\d,]+ is possible: lower it") as caught:
        train(TrainTokenizer(settings=settings), {"documents": corpus}, context)
    found = re.search(r"at most ([\d,]+)", str(caught.value))
    largest = int(found[1].replace(",", ""))
    train(
        TrainTokenizer(settings=TokenizerSettings(vocabulary=largest)),
        {"documents": corpus},
        context,
    )
    with pytest.raises(BadInput):
        train(
            TrainTokenizer(settings=TokenizerSettings(vocabulary=largest + 1)),
            {"documents": corpus},
            context,
        )


def test_no_training_text_is_refused(tmp_path, context):
    documents.write_table(
        tmp_path / "documents.parquet", pa.Table.from_pylist([], schema=documents.DOCUMENTS)
    )
    with pytest.raises(BadInput, match="there is no training text"):
        train(TrainTokenizer(), {"documents": [tmp_path]}, context)


def test_statistics_count_the_text_as_it_is_encoded(corpus, fraction, tokenizer_folder, some_texts):
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    stats = json.loads((tokenizer_folder / "stats.json").read_text())
    assert list(stats["sources"]) == ["docs", "mine"]
    for name, folder in zip(("docs", "mine"), corpus, strict=True):
        table = documents.read_table(folder / "documents.parquet", documents.DOCUMENTS)
        rows = [
            row["text"]
            for row in table.to_pylist()
            if not documents.validation(row["split_key"], fraction)
        ]
        tokens = sum(len(tokenizer.encode(text).ids) for text in rows)
        size = sum(len(text.encode()) for text in rows)
        assert stats["sources"][name]["tokens"] == tokens
        assert stats["sources"][name]["bytes_per_token"] == pytest.approx(size / tokens, abs=1e-4)
    sizes = [token["bytes"] for token in stats["longest"]]
    assert sizes == sorted(sizes, reverse=True)
    assert stats["longest"][0]["text"].strip() in " ".join(some_texts("docs").values())


def test_only_the_vocabulary_is_content(corpus, context, new_context):
    """Held-out text shapes nothing that comes later, and neither do statistics."""

    class Heard(Reporter):
        def progress(self, done, total, unit):
            self.last = (done, total, unit)

    heard = Heard()
    values = TrainTokenizer(settings=TokenizerSettings(vocabulary=300))
    result = train(values, {"documents": corpus}, replace(context, report=heard))
    assert heard.last == (80, 80, "documents")
    assert result.counts["vocabulary"] == 300
    twice = train(values, {"documents": [*corpus, *corpus]}, new_context("twice"))
    assert twice.counts["sources"] != result.counts["sources"]
    assert twice.content == result.content
