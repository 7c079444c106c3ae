import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import pyarrow as pa
import pytest
from tokenizers import Regex, Tokenizer, pre_tokenizers

from llm.corpus import documents
from llm.step import BadInput, Reporter
from llm.tokens.bpe import train_bpe
from llm.tokens.patterns import PATTERNS
from llm.tokens.special import SPECIAL_TOKENS, read_special_tokens_as_text
from llm.tokens.tokenizer import TokenizerSettings, TrainTokenizer, train

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


def test_the_same_documents_give_the_same_file(corpus, fraction, tokenizer_folder, tmp_path):
    """Also in another process with other hashes, and with the shards in another order."""
    expected = (tokenizer_folder / "tokenizer.json").read_bytes()
    code = (
        "import sys; from pathlib import Path; from llm.step import Context; "
        "from llm.tokens.tokenizer import *; "
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
