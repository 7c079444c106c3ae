import json
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from llm.corpus import documents
from llm.durable import file_digest
from llm.step import BadInput
from llm.tokens import tokenize as tokenizing
from llm.tokens.shards import Shard
from llm.tokens.tokenize import TokenizeSettings, tokenize
from llm.tokens.tokenize_settings import ValidationSettings


@pytest.fixture
def settings(fraction):
    return TokenizeSettings(validation=ValidationSettings(fraction=fraction))


def run(settings, folder, tokenizer_folder, context):
    return tokenize(settings, {"documents": [folder], "tokenizer": [tokenizer_folder]}, context)


@pytest.mark.parametrize("chunk_bytes", [1, 1500, 8_000_000])
def test_each_document_is_encoded_as_alone_and_ends_with_end_of_text(
    corpus, tokenizer_folder, settings, context, fraction, monkeypatch, chunk_bytes
):
    monkeypatch.setattr(tokenizing, "CHUNK_BYTES", chunk_bytes)
    run(settings, corpus[0], tokenizer_folder, context)
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    table = documents.read_table(corpus[0] / "documents.parquet", documents.DOCUMENTS)
    found = {}
    for name in ("train", "validation"):
        shard = Shard.open(context.out / f"{name}.arrow")
        for index, doc_id in enumerate(shard.documents.column("doc_id").to_pylist()):
            found[doc_id] = (name, shard.document(index).tolist())
    expected = {}
    for row in table.to_pylist():
        held_out = documents.validation(row["split_key"], fraction)
        ids = [*tokenizer.encode(row["text"]).ids, 0]
        expected[row["doc_id"]] = ("validation" if held_out else "train", ids)
    assert found == expected
    assert {name for name, _ in found.values()} == {"train", "validation"}


def test_counts_reconcile_with_documents_and_shards(corpus, tokenizer_folder, settings, context):
    result = run(settings, corpus[1], tokenizer_folder, context)
    table = documents.read_table(corpus[1] / "documents.parquet", documents.DOCUMENTS)
    texts = table["text"].to_pylist()
    assert result.counts["documents"] == len(texts)
    assert result.counts["bytes"] == sum(len(text.encode()) for text in texts)
    tokens = 0
    for name in ("train", "validation"):
        shard = Shard.open(context.out / f"{name}.arrow")
        row = result.counts[name]["mine"]
        assert row["documents"] == len(shard)
        assert row["tokens"] == len(shard.tokens)
        assert row["bytes"] == sum(shard.documents.column("bytes").to_pylist())
        assert shard.metadata["sources"] == result.counts[name]
        assert shard.metadata["tokenizer"] == file_digest(tokenizer_folder / "tokenizer.json")
        tokens += len(shard.tokens)
    assert result.counts["tokens"] == tokens


@pytest.mark.parametrize(("held_out", "empty"), [(0.0, "validation"), (0.999999, "train")])
def test_a_split_without_documents_is_a_shard_of_no_rows(
    corpus, tokenizer_folder, context, held_out, empty
):
    settings = TokenizeSettings(validation=ValidationSettings(fraction=held_out))
    result = run(settings, corpus[0], tokenizer_folder, context)
    path = context.out / f"{empty}.arrow"
    assert len(Shard.open(path)) == len(datasets.Dataset.from_file(str(path))) == 0
    assert result.counts[empty] == {}


def test_no_documents_give_two_empty_shards(tmp_path, tokenizer_folder, settings, context):
    documents.write_table(
        tmp_path / "documents.parquet", pa.Table.from_pylist([], schema=documents.DOCUMENTS)
    )
    assert run(settings, tmp_path, tokenizer_folder, context).counts["documents"] == 0
    assert len(Shard.open(context.out / "train.arrow").tokens) == 0


def test_datasets_and_pyarrow_open_what_is_written(corpus, tokenizer_folder, settings, context):
    run(settings, corpus[0], tokenizer_folder, context)
    path = context.out / "train.arrow"
    shard = Shard.open(path)
    opened = datasets.Dataset.from_file(str(path)).with_format("numpy")
    assert np.array_equal(np.concatenate(list(opened["tokens"])), shard.tokens)
    table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    assert table.num_rows == len(shard)
    assert table.schema.field("tokens").type == pa.large_list(pa.uint16())


def test_end_of_text_spelled_in_a_document_ends_nothing(
    tmp_path, tokenizer_folder, context, write_documents
):
    text = "GPT-2 separates documents by <|endoftext|>, chats by <|im_end|>."
    folder = write_documents(tmp_path / "documents", {"http://a.test/": text})
    settings = TokenizeSettings(validation=ValidationSettings(fraction=0.0))
    run(settings, folder, tokenizer_folder, context)
    [*ids, last] = Shard.open(context.out / "train.arrow").tokens.tolist()
    assert last == 0
    assert min(ids) > 3
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_adding_and_editing_documents_moves_no_other_between_the_splits(
    tmp_path, tokenizer_folder, settings, some_texts, write_documents, new_context
):
    def splits(name, texts):
        context = new_context(name)
        folder = write_documents(tmp_path / f"documents-{name}", texts)
        run(settings, folder, tokenizer_folder, context)
        by_id = {documents.document_id("docs", url, text): url for url, text in texts.items()}
        return {
            by_id[doc_id]: split
            for split in ("train", "validation")
            for doc_id in Shard.open(context.out / f"{split}.arrow")
            .documents.column("doc_id")
            .to_pylist()
        }

    texts = some_texts("docs")
    before = splits("before", texts)
    edited = {url: text + " and now it is longer" for url, text in texts.items()}
    after = splits("after", edited | some_texts("new", 100))
    assert {url: after[url] for url in before} == before
    assert set(before.values()) == {"train", "validation"}


def test_the_same_documents_give_the_same_bytes(corpus, tokenizer_folder, settings, new_context):
    written = []
    for name in ("once", "again"):
        context = new_context(name)
        run(settings, corpus[0], tokenizer_folder, context)
        written.append({path.name: path.read_bytes() for path in context.out.iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"train.arrow", "validation.arrow"}


@pytest.mark.parametrize("damage", ["{", '{"version": "1.0"}', None])
def test_a_tokenizer_that_cannot_be_used_is_named(
    corpus, tokenizer_folder, settings, context, tmp_path, damage
):
    text = (tokenizer_folder / "tokenizer.json").read_text()
    if damage is None:  # a tokenizer from elsewhere, without our end of text
        found = json.loads(text)
        found["added_tokens"] = []
        del found["model"]["vocab"]["<|endoftext|>"]
        damage = json.dumps(found)
    (tmp_path / "tokenizer.json").write_text(damage)
    with pytest.raises(BadInput, match=r"tokenizer\.json cannot be used"):
        run(settings, corpus[0], tmp_path, context)


def test_a_damaged_table_ends_the_step(
    tmp_path, tokenizer_folder, settings, context, some_texts, write_documents, monkeypatch
):
    monkeypatch.setattr(tokenizing, "CHUNK_BYTES", 1)
    monkeypatch.setattr(documents, "GROUP_ROWS", 10)
    folder = write_documents(tmp_path / "documents", some_texts("docs", 60))
    path = folder / "documents.parquet"
    last = pq.ParquetFile(path).metadata.row_group(5).column(8)
    start = last.dictionary_page_offset or last.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + last.total_compressed_size] = b"x" * last.total_compressed_size
    path.write_bytes(data)
    with pytest.raises((OSError, pa.ArrowException)):
        run(settings, folder, tokenizer_folder, context)
    assert not list(context.out.iterdir())


def test_no_part_of_the_step_waits_for_pandas(corpus, tokenizer_folder, tmp_path):
    """Only in a process of its own: here, other libraries have imported it."""
    code = f"""
import sys
from pathlib import Path
from llm.step import Context
from llm.tokens.tokenize import TokenizeSettings, tokenize
inputs = {{"documents": [Path({str(corpus[0])!r})], "tokenizer": [Path({str(tokenizer_folder)!r})]}}
folder = Path({str(tmp_path)!r})
print(tokenize(TokenizeSettings(), inputs, Context(out=folder, work=folder)).counts["encoder"])
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    encoder, imported = done.stdout.split("\n")[:2]
    assert encoder.startswith("gigatoken")
    assert imported == "False"
