"""Columns of labels, numbers and texts: found by name or place, read strictly, split by content."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llm.examples import bad_rows, files
from llm.examples.settings import Column, ExampleSettings
from llm.examples.shards import Shard
from llm.step import BadInput, Context, Reporter

TEXT = Column(name="text", type="text")
LABEL = Column(name="label", type="labels", answer=True)
VALUE = Column(name="value", type="numbers", answer=True)
SECOND = Column(name="second", type="text", optional=True)
# What pandas and `datasets` take for missing, for a number or for a date.
STRANGE = [
    "null",
    "NA",
    "None",
    "nan",
    "007",
    "1e5",
    "2024-01-01",
    "true",
    " x ",
    "a\tb",
    '"q"',
    "1,5",
]


def columns(*wanted: Column, **fields: str | int) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=one.name,
            type=one.type,
            answer=one.answer,
            optional=one.optional,
            field=fields.get(one.name),
        )
        for one in wanted
    )


def examples(context: Context, chosen: tuple[Column, ...], split: str = "train") -> list[object]:
    return [one.cells for one in Shard.open(context.out / f"{split}.arrow").examples(chosen)]


def read(context: Context, path, chosen, **values) -> list[object]:
    settings = ExampleSettings(columns=chosen, **{"validation_fraction": 0.0, **values})
    files.read(settings, {"files": [path]}, context)
    return examples(context, chosen)


def as_csv(rows: list[tuple[str, ...]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue().encode()


def as_parquet(rows: list[tuple[str, ...]]) -> bytes:
    stream = io.BytesIO()
    names, *cells = rows
    table = pa.table(dict(zip(names, map(list, zip(*cells, strict=True)), strict=True)))
    pq.write_table(table, stream)
    return stream.getvalue()


def as_lines(rows: list[tuple[str, ...]]) -> bytes:
    names, *cells = rows
    found = (json.dumps(dict(zip(names, row, strict=True))) for row in cells)
    return "\n".join(found).encode()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", as_csv),
        ("a.parquet", as_parquet),
        ("a.jsonl", as_lines),
        ("a.jsonl.gz", lambda rows: gzip.compress(as_lines(rows))),
        ("a.csv.zst", lambda rows: zstandard.ZstdCompressor().compress(as_csv(rows))),
    ],
)
def test_cells_stay_as_they_are(tmp_path, context, name, write) -> None:
    rows = [("text", "label"), *((one, one) for one in STRANGE)]
    (tmp_path / name).write_bytes(write(rows))
    found = read(context, tmp_path / name, (TEXT, LABEL))
    assert found == [(one, [one]) for one in STRANGE]


def test_columns_are_found_by_usual_names_or_by_those_that_are_said(tmp_path, context) -> None:
    rows = [{"sentence": "good", "category": 1, "mood": "glad"}, {"sentence": "bad", "category": 0}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read(context, path, (TEXT, LABEL)) == [("good", ["1"]), ("bad", ["0"])]
    said = columns(TEXT, LABEL, label="mood")
    with pytest.raises(BadInput, match="line 2: there is no field 'mood'; there are sentence, cat"):
        read(context, path, said)
    with pytest.raises(BadInput, match=r"wanted is value, or say which it is: columns: \{value"):
        read(context, path, (TEXT, VALUE))


def test_a_table_without_a_header_is_read_by_places(tmp_path, context) -> None:
    path = tmp_path / "pairs.txt"  # as Tatoeba has them: quotation marks are characters
    path.write_text('Go.\tGeh.\tCC-BY\n"Hi," she said.\t"Hallo", sagte sie.\tCC-BY\n')
    chosen = columns(TEXT, SECOND, text=2, second=1)
    assert read(context, path, chosen) == [
        ("Geh.", "Go."),
        ('"Hallo", sagte sie.', '"Hi," she said.'),
    ]
    path = tmp_path / "scores.csv"
    path.write_bytes(as_csv([("A plane, and", "An air\nplane", "5.0"), ("x y", "z", "3.8")]))
    chosen = columns(TEXT, SECOND, VALUE, text=1, second=2, value=3)
    expected = [("A plane, and", "An air\nplane", [5.0]), ("x y", "z", [3.8])]
    assert read(context, path, chosen) == expected
    with pytest.raises(BadInput, match="line 2: there is no cell 4; there are 3 cells"):
        read(context, path, columns(TEXT, VALUE, text=1, value=4))


def test_several_labels_and_values_and_no_label_at_all(tmp_path, context) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"text": "a", "label": ["x", "y"]},
        {"text": "b", "label": []},
        {"text": "c", "label": True},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read(context, path, (TEXT, LABEL)) == [("a", ["x", "y"]), ("b", []), ("c", ["true"])]
    path.write_text('{"text": "a", "value": [1, 2.5]}\n{"text": "b", "value": "-3e1"}')
    assert read(context, path, (TEXT, VALUE)) == [("a", [1.0, 2.5]), ("b", [-30.0])]


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        (VALUE, "3,5", "value must be a number, it is '3,5'"),
        (VALUE, "nan", "value must be a finite number, it is 'nan'"),
        (VALUE, True, "value must be a number, it is bool"),
        (VALUE, None, "value must be a number, it is NoneType"),
        (VALUE, [], "the list is empty"),
        (LABEL, None, "label must be a label, text or a whole number; it is NoneType"),
        (LABEL, " ", "it is empty"),
        (LABEL, 1.0, "it is float"),
        (LABEL, ["a", None], "it is NoneType"),
    ],
)
def test_what_is_no_label_or_number_is_a_bad_row(tmp_path, context, column, cell, said) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "a", column.name: cell}))
    with pytest.raises(BadInput, match=r"a\.jsonl, line 1: ") as error:
        read(context, path, (TEXT, column))
    assert said in str(error.value)


class Heard(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, message: str) -> None:
        self.said.append(message)


def test_a_few_bad_rows_are_left_out_counted_and_listed(tmp_path, context) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": f"text {number}", "label": "x"}) for number in range(98)]
    lines[10:10] = ["{broken", '{"text": "", "label": "x"}']
    path.write_text("\n".join(lines))
    heard = Heard()
    quiet = Context(out=context.out, work=context.work, report=heard)
    settings = ExampleSettings(columns=(TEXT, LABEL), validation_fraction=0.0, bad_rows=0.02)
    result = files.read(settings, {"files": [path]}, quiet)
    assert result.counts["dropped"] == {"bad": 2}
    assert result.counts["read"] == 100
    listed = [json.loads(line) for line in (context.out / bad_rows.FILE).read_text().splitlines()]
    assert [(one["file"], one["number"]) for one in listed] == [("a.jsonl", 11), ("a.jsonl", 12)]
    assert "2 bad rows left out: a.jsonl, line 11" in heard.said[-1]
    fewer = ExampleSettings(columns=(TEXT, LABEL), validation_fraction=0.0, bad_rows=0.019)
    with pytest.raises(
        BadInput, match=r"line 11: .*2 of 100 rows are bad, more than bad_rows 0.019"
    ):
        files.read(fewer, {"files": [path]}, quiet)


def test_a_file_of_bad_rows_alone_stops_at_once(tmp_path, context) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"words": "a"}\n' * 1000)
    with pytest.raises(BadInput, match="line 1: found the fields words; wanted is text"):
        read(context, path, (TEXT, LABEL), bad_rows=1.0)


def test_given_splits_are_taken_as_given_and_their_leaks_told(tmp_path, context) -> None:
    for name, numbers in (("train", range(50)), ("dev", range(48, 60)), ("test", range(100, 110))):
        rows = [{"text": f"Text {number} here", "label": str(number % 2)} for number in numbers]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    heard = Heard()
    quiet = Context(out=context.out, work=context.work, report=heard)
    settings = ExampleSettings(columns=(TEXT, LABEL), validation_fraction=0.5)
    inputs = {"files": "train", "validation": "dev", "test": "test"}
    paths = {name: [tmp_path / f"{file}.jsonl"] for name, file in inputs.items()}
    counts = files.read(settings, paths, quiet).counts
    assert (counts["train"], counts["validation"], counts["test"]) == (50, 12, 10)
    assert counts["leaks"] == {"validation": 2, "test": 0}
    assert "2 of 12 examples for validation stand in the training data too" in heard.said[0]
    [first, *_] = examples(context, (TEXT, LABEL), "test")
    assert first == ("Text 100 here", ["0"])


def test_a_text_stands_on_one_side_only_whatever_its_label_and_case(tmp_path, context) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"text": text, "label": label}
        for number in range(200)
        for text, label in ((f"Text {number}", "a"), (f"text  {number}", "b"))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    read(context, path, (TEXT, LABEL), validation_fraction=0.3)
    sides = [
        {" ".join(text.split()).casefold() for text, _ in examples(context, (TEXT, LABEL), split)}
        for split in ("train", "validation")
    ]
    assert all(sides)
    assert not sides[0] & sides[1]
