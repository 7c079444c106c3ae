"""Tables on disk: identities, digests that see content only, and a split that never moves."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.corpus.documents import (
    CLUSTERS,
    DOCUMENTS,
    EXTRACTED,
    batches,
    by_identity,
    content_digest,
    document_id,
    hash64,
    read_table,
    validation,
    validation_mask,
    write_table,
)
from llm.step import BadInput


def some_documents(count: int, seed: int = 0) -> pa.Table:
    rng = random.Random(seed)
    rows = []
    for index in range(count):
        text = "".join(rng.choice("abc é\n日") for _ in range(rng.randrange(0, 50)))
        url = f"http://a.test/{index}"
        row = {"doc_id": document_id("s", url, text), "url": url, "source": f"s{index}"}
        row |= {"language": f"l{index}", "language_score": rng.random(), "text": text}
        row |= {"licence": f"by{index}", "opt_out": f"no{index}"}
        rows.append(row | {"split_key": hash64(url)})
    return by_identity(pa.Table.from_pylist(rows, schema=DOCUMENTS))


def test_what_is_written_is_read_back_sorted_by_doc_id(tmp_path: Path) -> None:
    table = some_documents(50)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(50)))
    write_table(tmp_path / "documents.parquet", shuffled)
    assert read_table(tmp_path / "documents.parquet", DOCUMENTS).equals(table)


def test_equal_content_gives_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_table(tmp_path / name, some_documents(3000))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_batches_give_every_row_once_in_order(tmp_path: Path) -> None:
    table = some_documents(5000)
    write_table(tmp_path / "one" / "documents.parquet", table)
    rows = list(batches([tmp_path / "one", tmp_path / "one"], ["doc_id", "text"]))
    assert len(rows) > 2
    ids = [value for batch in rows for value in batch["doc_id"].to_pylist()]
    assert ids == table["doc_id"].to_pylist() * 2


def test_a_document_that_comes_twice_is_refused(tmp_path: Path) -> None:
    table = some_documents(3)
    with pytest.raises(ValueError, match="comes 2 times"):
        write_table(tmp_path / "x", pa.concat_tables([table, table.slice(1, 1)]))
    twice = pa.concat_tables([table, table])
    with pytest.raises(
        ValueError, match=r"comes 2 times in one table \(and 2 others more than once"
    ):
        write_table(tmp_path / "x", twice)
    with pytest.raises(ValueError, match=r"comes 3 times in one table$"):
        write_table(tmp_path / "x", pa.concat_tables([table, *[table.slice(1, 1)] * 2]))


def test_a_file_with_other_columns_is_bad_input_naming_the_column(tmp_path: Path) -> None:
    pq.write_table(some_documents(2).drop_columns(["text"]), tmp_path / "x.parquet")
    with pytest.raises(BadInput, match=r"x\.parquet.*'text' is missing"):
        read_table(tmp_path / "x.parquet", EXTRACTED)
    (tmp_path / "y.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(BadInput, match="not a Parquet file"):
        read_table(tmp_path / "y.parquet", EXTRACTED)


def test_the_digest_ignores_chunks_and_slices_but_sees_every_change() -> None:
    table = some_documents(40)
    chunked = pa.concat_tables([table.slice(0, 13), table.slice(13, 0), table.slice(13)])
    assert content_digest(chunked) == content_digest(table)
    assert content_digest(some_documents(100).slice(0, 40)) != content_digest(table)
    for name in table.column_names:
        values = table[name].to_pylist()
        values[7] = values[8]
        index = table.schema.get_field_index(name)
        changed = table.set_column(
            index, table.schema.field(name), pa.array(values, table.schema.field(name).type)
        )
        assert content_digest(changed) != content_digest(table), name


def test_the_digest_tells_texts_apart_that_join_to_the_same_bytes() -> None:
    def of(*texts: str) -> str:
        return content_digest(pa.table({"text": pa.array(texts, pa.large_string())}))

    assert of("ab", "c") != of("a", "bc")
    assert of("", "") != of("")


def test_the_digest_knows_null_from_zero_and_from_other_ids() -> None:
    row = {"doc_id": b"a" * 16, "cluster": b"a" * 16, "kind": "none", "similarity": 0.0}
    absent = pa.Table.from_pylist([row | {"of": None}], schema=CLUSTERS)
    zero = pa.Table.from_pylist([row | {"of": b"\0" * 16}], schema=CLUSTERS)
    assert content_digest(absent) != content_digest(zero)


def test_an_empty_table_has_a_digest_and_a_file(tmp_path: Path) -> None:
    write_table(tmp_path / "x", DOCUMENTS.empty_table())
    assert read_table(tmp_path / "x", DOCUMENTS).num_rows == 0
    assert content_digest(DOCUMENTS.empty_table()) != content_digest(EXTRACTED.empty_table())


def test_doc_ids_are_sixteen_bytes_and_depend_on_every_part() -> None:
    ids = {document_id("s", "u", "t"), document_id("su", "", "t"), document_id("s", "ut", "")}
    ids |= {document_id("s", "u", "x"), document_id("s", "x", "t"), document_id("x", "u", "t")}
    assert len(ids) == 6
    assert {len(identity) for identity in ids} == {16}


def test_the_split_holds_the_asked_fraction_and_only_grows_with_it() -> None:
    keys = [hash64(f"http://a.test/{index}") for index in range(20_000)]
    held = [{key for key in keys if validation(key, fraction)} for fraction in (0.01, 0.05, 0.5)]
    assert [len(part) / len(keys) for part in held] == pytest.approx([0.01, 0.05, 0.5], abs=0.007)
    assert held[0] < held[1] < held[2]


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 1.0])
def test_the_mask_agrees_with_the_scalar(fraction: float) -> None:
    keys = [0, 1, 2**63, 2**64 - 1, *(hash64(str(index)) for index in range(500))]
    mask = validation_mask(np.array(keys, dtype=np.uint64), fraction)
    assert mask.tolist() == [validation(key, fraction) for key in keys]
