"""The user's own files: whatever can be read is, and the rest is told by file and line."""

import gzip
import hashlib
import json
import lzma
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.sources import files
from llm.corpus.sources.files import FilesSource
from llm.machine import Machine
from llm.step import BadInput, Context
from tasks.engine.step import Outside

ROWS = [
    {"text": "First.", "url": "https://a.de/1"},
    {"text": "Zweites – mit Ümlaut.", "url": None},
    {"text": "Third.", "meta": {"body": "nested"}, "key": "k3"},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def read(
    context: Context, path: Path | str, **fields: Any
) -> tuple[dict[str, str], dict[str, str]]:
    """(URL → text, place → reason) of what a source reads."""
    values = FilesSource(path=str(path), **fields)
    files.read(values, {"files": files.expand(values.path)}, context)
    found = {}
    for shard in sorted((context.out / "pages").iterdir()):
        with shard.open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                if record.rec_type == "conversion":
                    assert record.rec_headers.get_header("Content-Type") == "text/plain"
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    found[url] = record.content_stream().read().decode()
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    return found, {row["url"]: row["reason"] for row in rows}


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        ("jsonl", bytes),
        ("jsonl.gz", gzip.compress),
        ("jsonl.xz", lzma.compress),
        ("jsonl.zst", zstandard.ZstdCompressor().compress),
        ("ndjson", bytes),
    ],
)
def test_json_lines_plain_and_packed(
    context: Context, tmp_path: Path, ending: str, pack: Any
) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(pack(LINES))
    found, bad = read(context, path)
    assert found == {
        "https://a.de/1": "First.",
        f"file:///rows.{ending}#2": "Zweites – mit Ümlaut.",
        f"file:///rows.{ending}#3": "Third.",
    }
    assert bad == {}


def test_parquet_and_field_names(context: Context, tmp_path: Path) -> None:
    names = ("text", "url", "meta", "key")
    full = [{name: row.get(name) for name in names} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(full[::-1]), tmp_path / "rows.parquet")
    found, bad = read(context, tmp_path / "rows.parquet", text="meta.body", url=None, id="key")
    assert found == {"file:///rows.parquet#k3": "nested"}
    assert {reason.partition(":")[0] for reason in bad.values()} == {"no_text"}


def test_arrow_files_as_datasets_saves_them(context: Context, tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"text": ["One.", "", "Three."]})
    made.save_to_disk(tmp_path / "set")
    found, bad = read(context, f"{tmp_path}/set/*.arrow")
    assert list(found.values()) == ["One.", "Three."]
    assert list(bad.values()) == ["empty: field 'text' has no text"]


@pytest.mark.parametrize(("ending", "pack"), [("csv", bytes), ("csv.gz", gzip.compress)])
def test_tables_by_the_names_of_their_columns(
    context: Context, tmp_path: Path, ending: str, pack: Any
) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(pack(b'text,label\n"Hello, ""you""",a\n"Two\nlines",b\nNA,c\n,d\n'))
    found, bad = read(context, path)
    assert list(found.values()) == ['Hello, "you"', "Two\nlines", "NA"]
    assert list(bad.values()) == ["empty: field 'text' has no text"]


def test_tables_without_a_header_by_the_place_of_a_cell(context: Context, tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text('Go.\tGeh.\t"1\nWho?\tWer?\t2\nalone\n')
    found, bad = read(context, tmp_path / "rows.tsv", text=2)
    assert found == {"file:///rows.tsv#1": "Geh.", "file:///rows.tsv#2": "Wer?"}
    assert list(bad.values()) == ["no_text: field 2 is missing; there are: 1"]


def test_a_table_that_is_none_is_told_by_line(context: Context, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nfine,a\ntoo,many,cells\n")
    found, bad = read(context, tmp_path / "rows.csv")
    assert list(found.values()) == ["fine"]
    assert bad == {"file:///rows.csv#3": "bad_table: 1 cells more than the header names"}


def test_text_files_of_a_folder_are_a_document_each(context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "my texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("Text a.")
    (folder / "deep" / "a.txt").write_text("Another a.")
    (folder / "b.md").write_text("# Title\n\nText b.")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "empty.txt").write_text("\n")
    found, bad = read(context, folder)
    assert found == {
        "file:///a.txt": "Text a.",
        "file:///deep/a.txt": "Another a.",
        "file:///b.md": "# Title\n\nText b.",
    }
    assert bad == {"file:///empty.txt": "empty: the file has no text"}


def test_bad_lines_are_counted_with_file_and_line(context: Context, tmp_path: Path) -> None:
    lines = [
        b'{"text": "good"}',
        b"{not json",
        b"",
        b'{"body": "elsewhere"}',
        b'{"text": 7}',
        b'{"text": "  "}',
        b'["a list"]',
        b'{"text": "' + b"x" * 500 + b'"}',
        b'{"text": "\xff"}',
        b'{"text": "lone \\ud800 surrogate"}',
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    found, bad = read(context, tmp_path / "rows.jsonl", max_document_bytes=300)
    assert set(found) == {"file:///rows.jsonl#1", "file:///rows.jsonl#10"}
    words = {place.partition("#")[2]: reason.partition(":")[0] for place, reason in bad.items()}
    assert words == {
        "2": "bad_json",
        "4": "no_text",
        "5": "no_text",
        "6": "empty",
        "7": "no_text",
        "8": "too_large",
        "9": "bad_json",
    }
    assert "there are: body" in bad["file:///rows.jsonl#4"]


def test_a_damaged_file_gives_what_comes_before_the_damage(
    context: Context, tmp_path: Path
) -> None:
    texts = [hashlib.sha512(b"%d" % i).hexdigest() for i in range(3000)]
    many = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(many)[:-2000])
    (tmp_path / "cut.jsonl.zst").write_bytes(zstandard.compress(many)[:-2000])
    (tmp_path / "no.parquet").write_bytes(b"PAR1 but no table")
    (tmp_path / "good.jsonl").write_bytes(b'{"text": "good"}\n')
    found, bad = read(context, tmp_path)
    assert "file:///good.jsonl#1" in found
    assert "file:///cut.jsonl.gz#1" in found
    assert bad["file:///cut.jsonl.gz"].startswith("damaged: ")
    assert bad["file:///no.parquet"].startswith("damaged: ")


def test_nothing_readable_is_bad_input_that_says_why(context: Context, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"body": "x"}\n')
    with pytest.raises(BadInput, match="field 'text' is missing; there are: body"):
        read(context, tmp_path / "rows.jsonl")
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "rows.parquet")
    with pytest.raises(BadInput, match="no column 'text'; there are: body"):
        read(context, tmp_path / "rows.parquet")
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(BadInput, match="unknown_format"):
        read(context, tmp_path / "x.bin")


def test_patterns_find_files_and_say_when_there_are_none(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in files.expand(f"{tmp_path}/*.jsonl")] == ["a.jsonl", "b.jsonl"]
    assert [path.name for path in files.expand(str(tmp_path))] == ["a.jsonl", "b.jsonl", "c.txt"]
    with pytest.raises(BadInput, match=r"no file matches '.*\.parquet'"):
        files.expand(f"{tmp_path}/*.parquet")


def test_the_order_of_the_rows_does_not_matter(context: Context, tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "url": f"https://a.de/{i}"} for i in range(50)]
    contents = set()
    for order in (rows, rows[::-1]):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in order))
        values = FilesSource(path=str(path))
        for item in context.out.rglob("*"):
            if item.is_file():
                item.unlink()
        if (context.out / "pages").is_dir():
            (context.out / "pages").rmdir()
        contents.add(files.read(values, {"files": [path]}, context).content)
    assert len(contents) == 1


def test_what_was_taken_down_is_not_read_again(context: Context, tmp_path: Path) -> None:
    rows = [{"text": f"Text {i}.", "url": f"https://{i}.a.de/x"} for i in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    machine = Machine(takedown=("1.a.de", "http://2.a.de/x"))
    found, bad = read(replace(context, machine=machine), tmp_path / "rows.jsonl")
    assert found == {"https://0.a.de/x": "Text 0."}
    assert bad == {
        "https://1.a.de/x": "taken_down: rows.jsonl#2",
        "https://2.a.de/x": "taken_down: rows.jsonl#3",
    }


def test_lone_surrogates_cost_nothing_but_themselves(context: Context, tmp_path: Path) -> None:
    lines = [
        rb'{"text": "one", "url": "http://a.de/\ud800"}',
        rb'{"text": "two", "key": "k\udfff"}',
        rb'{"other\ud800": "three"}',
    ]
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "rows.jsonl").write_bytes(b"\n".join(lines))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jsonl")).write_bytes(b'{"text": "four"}\nno\n')
    found, bad = read(context, folder, id="key")
    assert set(found.values()) == {"one", "two", "four"}
    assert "http://a.de/?" in found
    assert sorted(reason.partition(":")[0] for reason in bad.values()) == ["bad_json", "no_text"]
    # The planner names files by content, and so must take such names too.
    assert Outside.files(files.expand(str(folder))).content


def test_a_row_of_parquet_that_is_no_utf8_costs_itself_only(
    context: Context, tmp_path: Path
) -> None:
    raw = pa.array([b"one", b"\xff\xfe", b"three"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet")
    found, bad = read(context, tmp_path / "rows.parquet")
    assert set(found.values()) == {"one", "three"}
    assert bad == {"file:///rows.parquet#2": "damaged: not UTF-8"}


def test_a_cut_zstd_file_is_told(context: Context, tmp_path: Path) -> None:
    texts = [hashlib.sha512(b"%d" % i).hexdigest() for i in range(5000)]
    many = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    packed = zstandard.compress(many)
    (tmp_path / "cut.jsonl.zst").write_bytes(packed[: len(packed) // 2])
    found, bad = read(context, tmp_path / "cut.jsonl.zst")
    assert 0 < len(found) < 5000
    assert "damaged: the file ends before its end mark" in bad.values()


def test_a_json_file_with_one_list_says_what_to_do(context: Context, tmp_path: Path) -> None:
    for text in ('[\n{"text": "x"},\n{"text": "y"}\n]\n', '[{"text": "x"}]\n'):
        (tmp_path / "rows.json").write_text(text)
        with pytest.raises(BadInput, match=r"make lines of it \(jq -c '\.\[\]' FILE"):
            read(context, tmp_path / "rows.json")


def test_a_file_that_may_not_be_read_is_named(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n')
    values = FilesSource(path=str(tmp_path))
    # Became unreadable after it was found: here, a folder took its place.
    (tmp_path / "b.jsonl").mkdir()
    files.read(values, {"files": [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]}, context)
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    assert rows == [{"url": "file:///b.jsonl", "reason": "unreadable: Is a directory"}]
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadInput, match=r"a\.jsonl' cannot be read: change its permissions"):
        files.expand(str(tmp_path))


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "out.txt").write_text("b")
    (tmp_path / "in" / "b.txt").symlink_to(tmp_path / "in" / "a.txt")
    folder = str(tmp_path / "in")
    assert len(files.expand(folder)) == len(files.expand(f"{folder}/*.txt")) == 2
    (tmp_path / "in" / "c.txt").symlink_to(tmp_path / "out.txt")
    for path in (folder, f"{folder}/*.txt", f"{folder}/**/*.txt"):
        with pytest.raises(
            BadInput, match=r"c\.txt' leads to .*out\.txt', out of .*: name that file"
        ):
            files.expand(path)
    # What the recipe names itself may be a link, and so may the folder.
    assert files.expand(f"{folder}/c.txt")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "c.txt").unlink()
    assert len(files.expand(str(tmp_path / "link"))) == 2
