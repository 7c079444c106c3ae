"""Data sets as the hub lays them out: streamed from a folder, pinned, and gone on with after a kill."""

import gzip
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.corpus.sources import hub
from llm.corpus.sources.hub import HubSource
from llm.step import BadInput, Context, StepResult
from tests.llm.corpus.sources.test_wikipedia import texts

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of two splits in JSON lines, and no network."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    root = tmp_path / "my-set"
    (root / "data").mkdir(parents=True)
    for split, count in (("train", 1200), ("test", 3)):
        rows = [
            {
                "title": f"Title {i}",
                "body": {"text": f"{split} text {i}"} if i != 1 else {"text": " "},
                "link": f"https://a.de/{split}/{i}" if i != 2 else None,
                "extra": i,
            }
            for i in range(count)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "data" / f"{split}.jsonl").write_text(lines)
    return root


def read(context: Context, folder: Path, **fields: Any) -> StepResult:
    values = HubSource(dataset=str(folder), **({"text": "body.text", "url": "link"} | fields))
    return hub.read(values, {"files": [folder]}, context)


def test_a_split_is_read_with_its_addresses_and_places(context: Context, folder: Path) -> None:
    result = read(context, folder, split="test")
    assert result.counts["rows"] == 3
    assert texts(context) == {
        "https://a.de/test/0": ("my-set/test#1", "test text 0"),
        "file:///my-set/test#3": ("my-set/test#3", "test text 2"),
    }
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    assert rows == [
        {"url": "file:///my-set/test#2", "reason": "no_text: no text in body.text"},
    ]


def test_several_columns_are_one_text_and_limits_hold(context: Context, folder: Path) -> None:
    read(context, folder, text=("title", "body.text"), max_documents=2, url=None)
    assert texts(context) == {
        "file:///my-set/train#1": ("my-set/train#1", "Title 0\n\ntrain text 0"),
        "file:///my-set/train#2": ("my-set/train#2", "Title 1"),
    }


def test_a_killed_read_goes_on_after_its_last_batch(
    context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, seen = hub._keep, []

    def die(store: Any, row: Any, number: int, values: HubSource, without: Any) -> None:
        seen.append(number)
        if len(seen) == 700:
            raise KeyboardInterrupt
        keep(store, row, number, values, without)

    monkeypatch.setattr(hub, "_keep", die)
    with pytest.raises(KeyboardInterrupt):
        read(context, folder)
    result = read(context, folder)
    # The first batch of 500 was in, the second is read anew.
    assert seen == [*range(1, 701), *range(501, 1201)]
    assert (result.counts["rows"], result.counts["pages"]) == (1200, 1199)
    found = texts(context)
    assert found["https://a.de/train/777"] == ("my-set/train#778", "train text 777")


def test_parquet_is_read_as_well(context: Context, folder: Path) -> None:
    (folder / "data" / "train.jsonl").unlink()
    (folder / "data" / "test.jsonl").unlink()
    pq.write_table(pa.table({"text": ["one", "two"]}), folder / "data" / "train-00000.parquet")
    read(context, folder, text="text", url=None)
    assert {text for _, text in texts(context).values()} == {"one", "two"}


def test_what_is_not_there_is_bad_input(context: Context, folder: Path) -> None:
    with pytest.raises(BadInput, match=r"Bad split: val.*Available splits"):
        read(context, folder, split="val")
    with pytest.raises(BadInput, match="has no column 'text'; there are: title, body, link, extra"):
        read(context, folder, text="text")
    with pytest.raises(BadInput, match=r"there is no folder '.*nowhere'"):
        read(context, folder / "nowhere")
    with pytest.raises(
        BadInput, match=r"gives a document.*no_text: column 'extra' is int, not text"
    ):
        read(context, folder, text="extra")


def test_a_revision_is_pinned() -> None:
    for revision in (None, "main", "v1.0"):
        with pytest.raises(ValueError, match=r"pin the revision of owner/set: the 40 digits"):
            HubSource(dataset="owner/set", revision=revision)
    assert hub.local_folder(HubSource(dataset="owner/set", revision=COMMIT)) is None


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_damaged_shard_costs_no_other_and_is_named(
    context: Context, folder: Path, kind: str
) -> None:
    for path in (folder / "data").iterdir():
        path.unlink()
    for shard in range(4):
        path = folder / "data" / f"train-{shard:05d}.{kind}"
        rows = [{"text": f"text {shard} {i}"} for i in range(20)]
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
            data = path.read_bytes()
            if shard in (1, 3):
                path.write_bytes(data[:4] + bytes(60) + data[64:])
        else:
            lines = [json.dumps(row) for row in rows]
            if shard in (1, 3):
                lines[7] = "{broken"
            path.write_text("\n".join(lines) + "\n")
    result = read(context, folder, text="text", url=None)
    found = {text for _, text in texts(context).values()}
    if kind == "jsonl":
        # A line that is none costs itself.
        assert found == {
            f"text {shard} {i}"
            for shard in range(4)
            for i in range(20)
            if i != 7 or shard in (0, 2)
        }
        assert result.counts["failures"] == {"bad_json": 2}
        return
    assert found == {f"text {shard} {i}" for shard in (0, 2) for i in range(20)}
    rows = pq.read_table(context.out / "failures.parquet").to_pylist()
    assert [row["url"][-7:] for row in rows] == ["shard-1", "shard-3"]
    assert rows[0]["reason"].startswith("damaged: shard 1 after row 20: ")
    assert result.counts["failures"] == {"damaged": 2}


@pytest.mark.parametrize(
    ("status", "kind"), [(503, ConnectionError), (429, ConnectionError), (404, BadInput)]
)
def test_a_busy_hub_is_asked_again_later(
    context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch, status: int, kind: type
) -> None:
    def busy(values: HubSource) -> Any:
        request = httpx.Request("GET", "https://huggingface.co/x")
        answer = httpx.Response(status, request=request)
        try:
            raise httpx.HTTPStatusError("no", request=request, response=answer)
        except httpx.HTTPError as error:
            raise ValueError("the data set is not there") from error

    monkeypatch.setattr(hub, "_data_files", busy)
    with pytest.raises(kind):
        read(context, folder)


@pytest.mark.parametrize("packing", ["jsonl", "jsonl.gz", "csv"])
def test_texts_are_what_stands_in_the_file(context: Context, folder: Path, packing: str) -> None:
    for path in (folder / "data").iterdir():
        path.unlink()
    answers = ["007", "null", "2024-01-02", "1e5", "9007199254740993", "True", "NaN"]
    rows = [{"question": f"q{number}", "answer": text} for number, text in enumerate(answers)]
    if packing == "csv":
        text = "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in rows)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    data = text.encode()
    path = folder / "data" / f"train.{packing}"
    path.write_bytes(gzip.compress(data) if packing.endswith("gz") else data)
    read(context, folder, text=("question", "answer"), url=None)
    assert {text for _, text in texts(context).values()} == {
        f"q{number}\n\n{answer}" for number, answer in enumerate(answers)
    }


def test_what_is_no_text_is_told_by_row_and_column(context: Context, folder: Path) -> None:
    (folder / "data" / "train.jsonl").unlink()
    rows: list[dict[str, Any]] = [{"q": "a", "a": "b"}, {"q": "c", "a": 7}, {"q": "d", "a": ["x"]}]
    rows += [{"q": "e"}, {"q": "f", "a": None}, {"q": "g", "a": {"x": 1}}]
    # A key and a type that come first after 10 MB.
    rows += [{"q": "x" * 1_000_000} for _ in range(11)] + [{"q": "h", "a": "i", "new": 1.5}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "train.jsonl").write_text(lines)
    result = read(context, folder, text=("q", "a"), url=None)
    failed = pq.read_table(context.out / "failures.parquet").to_pylist()
    assert {(row["url"][-2:], row["reason"]) for row in failed} == {
        ("#2", "no_text: column 'a' is int, not text"),
        ("#3", "no_text: column 'a' is list, not text"),
        ("#6", "no_text: column 'a' is dict, not text"),
    }
    assert result.counts["without"] == {"a": 13}
    assert (result.counts["rows"], result.counts["pages"]) == (18, 15)
    assert "h\n\ni" in {text for _, text in texts(context).values()}
