"""Rows of a user's own files: the same answer for each kind of file, and no small file becomes large."""

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.corpus.archive.packed import Bomb
from llm.corpus.contamination import sets
from llm.corpus.contamination.sets_settings import DecontaminateSettings, EvaluationSet
from llm.corpus.rows.json_lines import BadRow, json_lines, parse, whole
from llm.corpus.rows.parquet import parquet_rows
from llm.corpus.rows.tables import table_rows
from llm.examples.files import read_file
from llm.examples.settings import ExampleSettings
from llm.step import BadInput

NESTED = "[" * 100_000 + "]" * 100_000
ODD = {
    "nested too deeply": f'{{"a": {NESTED}}}',
    "a number of over 4300 digits": f'{{"a": {"1" * 5000}}}',
    "no valid JSON": '{"a": ',
}


@pytest.mark.parametrize("said", ODD)
def test_odd_json_is_told_with_its_line_by_every_reader(said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}\n\n' + ODD[said] + "\n")
    (_, good), (number, bad) = json_lines(io.BytesIO(path.read_bytes()), "a.jsonl")
    assert good == {"prompt": "a", "response": "b"}
    assert number == 3
    assert isinstance(bad, BadRow)
    assert said in str(bad)
    with pytest.raises(BadInput, match=rf"a\.jsonl, line 3: .*{said}"):
        list(read_file(path, ExampleSettings()))
    for kind in ("jsonl", "json"):
        path = tmp_path / f"b.{kind}"
        path.write_text(ODD[said])
        settings = DecontaminateSettings(sets={"a": EvaluationSet(path=str(path), fields=("a",))})
        with pytest.raises(BadInput, match=rf"b\.{kind}.*{said}"):
            list(sets.items(settings, [path]))


def test_half_a_surrogate_pair_becomes_the_replacement_character(tmp_path: Path) -> None:
    text = parse(rb'"hi \ud83d there \ud83d\ude00 \ude00"')
    assert whole(text) == "hi \ufffd there \U0001f600 \ufffd"
    path = tmp_path / "c.jsonl"
    path.write_text(r'{"prompt": "hi \ud83d there", "response": "yes"}' + "\n")
    ((messages,), *_) = next(read_file(path, ExampleSettings()))
    assert messages[0]["content"] == "hi \ufffd there"
    settings = DecontaminateSettings(sets={"a": EvaluationSet(path=str(path), fields=("prompt",))})
    (item,) = sets.items(settings, [path])
    assert item.texts == ("hi \ufffd there",)


def test_a_line_that_becomes_large_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm.corpus.rows.by_ending.LINE_BYTES", 1_000_000)
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "' + b" " * 50_000_000 + b'", "response": "a"}\n'))
    with pytest.raises(BadInput, match=r"line 1: over 1000000 bytes"):
        list(read_file(path, ExampleSettings()))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_field_of_csv_may_be_as_long_as_a_book(newline: str) -> None:
    rows = [{"q": 'a, "b"\nc' + "x" * 500_000, "a": "007"}, {"q": "null", "a": ""}]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["q", "a"], lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    raw = io.BytesIO(text.getvalue().encode("utf-8-sig"))
    assert [row for _, row in table_rows(raw, "a.csv")] == rows


def parquet(**options: object) -> bytes:
    out = io.BytesIO()
    table = pa.table({"text": ["x" * 1_000_000] * 400, "n": list(range(400))})
    pq.write_table(table, out, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
        {"use_dictionary": ["n"], "compression": "zstd"},
    ],
    ids=["dictionary", "delta", "packed"],
)
def test_small_parquet_files_stay_small(options: dict[str, object]) -> None:
    data = parquet(**options)
    assert len(data) < 2_000_000
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        rows = 0
        for row in parquet_rows(io.BytesIO(data)):
            assert (len(row["text"]), row["n"]) == (1_000_000, rows)
            rows += 1
        assert rows == 400
    except Bomb:
        assert options.get("compression") == "zstd"
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 60_000_000


def test_parquet_rows_are_those_that_pyarrow_reads() -> None:
    rows = [
        {"a.b": f"t{number % 7}", "s": {"text": f"x{number}", "l": ["p", None]}, "n": number}
        for number in range(1700)
    ]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=600)
    assert list(parquet_rows(io.BytesIO(out.getvalue()))) == rows
    some = list(parquet_rows(io.BytesIO(out.getvalue()), {"n", "a.b"}))
    assert some == [{"a.b": row["a.b"], "n": row["n"]} for row in rows]


def test_json_values_are_as_they_stand_there() -> None:
    line = json.dumps({"a": "007", "b": "null", "c": 2**63 + 1, "d": "2024-01-02"}).encode()
    ((_, row),) = json_lines(io.BytesIO(line), "a.jsonl")
    assert row == {"a": "007", "b": "null", "c": 2**63 + 1, "d": "2024-01-02"}
