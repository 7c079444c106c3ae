from itertools import chain

import datasets
import numpy as np
import pyarrow as pa
import pytest

from llm.step import BadInput
from llm.tokens.shards import Shard, ShardColumns, token_type, write_shard

DOCUMENTS = [[5, 6, 7, 0], [0], [65535, 1, 0]]


def columns(documents, vocabulary=65536):
    return ShardColumns(
        doc_ids=[bytes([i]) * 16 for i in range(len(documents))],
        sources=["docs"] * len(documents),
        sizes=[10 * i for i in range(len(documents))],
        lengths=[len(document) for document in documents],
        tokens=np.array(list(chain(*documents)), dtype=token_type(vocabulary)),
    )


def test_a_shard_is_read_as_it_was_written(tmp_path):
    write_shard(tmp_path / "a.arrow", columns(DOCUMENTS), {"tokenizer": "abc", "tokens": 8})
    shard = Shard.open(tmp_path / "a.arrow")
    assert [shard.document(i).tolist() for i in range(len(shard))] == DOCUMENTS
    assert shard.documents.column("doc_id").to_pylist() == [bytes([i]) * 16 for i in range(3)]
    assert shard.metadata == {"tokenizer": "abc", "tokens": 8}
    assert shard.tokens.dtype == np.uint16


def test_the_views_are_the_mapped_file_and_cannot_be_written(tmp_path):
    write_shard(tmp_path / "a.arrow", columns([list(range(1000))]), {})
    before = pa.total_allocated_bytes()
    shard = Shard.open(tmp_path / "a.arrow")
    assert pa.total_allocated_bytes() == before
    with pytest.raises(ValueError, match="read-only"):
        shard.tokens[0] = 1


@pytest.mark.parametrize(("vocabulary", "kind"), [(65536, "uint16"), (65537, "uint32")])
def test_ids_take_the_smallest_type_that_holds_them(tmp_path, vocabulary, kind):
    write_shard(tmp_path / "a.arrow", columns([[vocabulary - 1]], vocabulary), {})
    shard = Shard.open(tmp_path / "a.arrow")
    assert shard.tokens.dtype == kind
    assert shard.tokens.tolist() == [vocabulary - 1]


@pytest.mark.parametrize("documents", [DOCUMENTS, []])
def test_datasets_and_pyarrow_open_a_shard_with_no_code_of_ours(tmp_path, documents):
    path = tmp_path / "a.arrow"
    write_shard(path, columns(documents), {})
    opened = datasets.Dataset.from_file(str(path))
    assert opened.column_names == ["doc_id", "source", "bytes", "tokens"]
    assert [row["tokens"] for row in opened] == documents
    table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    assert table.column("tokens").to_pylist() == documents


def test_the_same_columns_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_shard(tmp_path / name, columns(DOCUMENTS), {"b": 1, "a": {"d": 2, "c": 3}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("keep", [0, 10, 300, -100])
def test_a_cut_shard_is_refused_by_name(tmp_path, keep):
    path = tmp_path / "cut.arrow"
    write_shard(path, columns([list(range(500))]), {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"cut\.arrow is not a whole token shard"):
        Shard.open(path)


def test_lengths_that_do_not_add_up_are_refused(tmp_path):
    wrong = columns(DOCUMENTS)
    wrong.lengths[0] += 1
    with pytest.raises(ValueError, match="add up to 9, not 8"):
        write_shard(tmp_path / "a.arrow", wrong, {})
