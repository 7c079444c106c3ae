"""What is erased leaves no byte behind, and nothing else moves."""

import gzip
import io
import random
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.archiveiterator import ArchiveIterator as Warcio

from llm.corpus.archive.pages import Page, PageStore
from llm.corpus.documents import DOC_ID
from llm.corpus.erasure.erase import erase_entries, erase_records, erase_rows
from llm.corpus.erasure.exclusions import Exclusions
from tests.llm.corpus.crawls import make_crawl, make_texts

MARKER = "zqxjkvw-secret"
BAD = Exclusions(["bad.example"])
NOBODY = pa.array([], DOC_ID)


def pages() -> list[tuple[str, str]]:
    draw = random.Random(1)
    noise = ["".join(draw.choices("abcdefghij ", k=draw.choice([1, 50, 40_000]))) for _ in range(9)]
    hosts = ["bad.example", "good.example", "x.bad.example"] * 3
    return [
        (f"http://{host}/{n}", f"<p>{noise[n]}{MARKER if 'bad' in host else ''}</p>")
        for n, host in enumerate(hosts)
    ]


@pytest.mark.parametrize("make", [make_crawl, make_texts])
def test_erased_records_are_gone_and_the_others_stay_at_their_offsets(
    tmp_path: Path, make: object
) -> None:
    path = make(tmp_path / "crawl", pages()) / "pages" / "00000.warc.gz"  # type: ignore[operator]

    def offsets(data: bytes) -> dict[str, tuple[int, bytes]]:
        return {
            record.headers["WARC-Target-URI"]: (record.stream_pos, record.reader.read())
            for record in ArchiveIterator(
                io.BytesIO(data),
                record_types=WarcRecordType.response | WarcRecordType.conversion,
                parse_http=False,
            )
        }

    before = path.read_bytes()
    erased = erase_records(path, tmp_path / "new.warc.gz", BAD)
    after = (tmp_path / "new.warc.gz").read_bytes()
    assert erased == 6 and len(after) == len(before)
    good = {url: found for url, found in offsets(before).items() if "good" in url}
    assert len(good) == 3 and offsets(after) == good
    names = [record.rec_type for record in Warcio(io.BytesIO(after))]
    assert names.count("metadata") == 6 and len(names) == len(pages())
    unpacked = gzip.decompress(after)
    assert MARKER.encode() not in unpacked and b"bad.example" not in unpacked
    assert erase_records(tmp_path / "new.warc.gz", tmp_path / "again", BAD) == 0
    assert not (tmp_path / "again").exists()


def test_erased_rows_keep_their_place_and_nothing_that_tells_of_them(tmp_path: Path) -> None:
    ids = [bytes([n]) * 16 for n in range(4)]
    table = pa.table(
        {
            "doc_id": pa.array(ids, DOC_ID),
            "url": ["http://bad.example/1", "http://good.example/", "http://other/", "http://x/"],
            "source": ["s"] * 4,
            "found": [["a", MARKER], ["b"], [], None],
            "bytes": [1, 2, 3, 4],
            "text": pa.array([MARKER, "fine", f"{MARKER} too", "kept"], pa.large_string()),
        }
    ).replace_schema_metadata({"bands": "14"})
    pq.write_table(table, tmp_path / "a.parquet")
    gone = pa.array([ids[2]], DOC_ID)
    assert erase_rows(tmp_path / "a.parquet", tmp_path / "b.parquet", BAD, gone) == 2
    rows = pq.read_table(tmp_path / "b.parquet").to_pylist()
    empty = {"url": "", "source": "s", "found": None, "text": ""}
    assert rows[0] == {"doc_id": ids[0], "bytes": 1, **empty}
    assert rows[2] == {"doc_id": ids[2], "bytes": 3, **empty}
    assert rows[1::2] == table.to_pylist()[1::2]
    before, after = (pq.read_schema(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert after.equals(before, check_metadata=True)
    assert erase_rows(tmp_path / "b.parquet", tmp_path / "c.parquet", BAD, gone) == 0
    assert erase_rows(tmp_path / "a.parquet", tmp_path / "d.parquet", BAD, gone, drop=True) == 2
    assert pq.read_table(tmp_path / "d.parquet").to_pylist() == rows[1::2]


def test_rows_without_an_id_go(tmp_path: Path) -> None:
    table = pa.table({"url": ["http://bad.example/", "http://good.example/"], "part": ["0", "0"]})
    pq.write_table(table, tmp_path / "index.parquet")
    assert erase_rows(tmp_path / "index.parquet", tmp_path / "new.parquet", BAD, NOBODY) == 1
    assert pq.read_table(tmp_path / "new.parquet").to_pylist() == table.to_pylist()[1:]
    numbers = pa.table({"doc_id": pa.array([b"x" * 16], DOC_ID), "words": [1.0]})
    pq.write_table(numbers, tmp_path / "signals.parquet")
    one = pa.array([b"x" * 16], DOC_ID)
    assert erase_rows(tmp_path / "signals.parquet", tmp_path / "n", BAD, one) == 0, "no word in it"


def test_a_frontier_forgets_without_a_trace_and_goes_on(tmp_path: Path) -> None:
    store = PageStore(tmp_path / "frontier.sqlite")
    for url, body in pages():
        # Not packed, so that the file can be searched.
        store.add(Page(url, body.encode() + MARKER.encode(), headers={"X": f"{MARKER} {url}"}))
    store.fail("http://bad.example/failed", MARKER)
    store.close()
    assert erase_entries(tmp_path / "frontier.sqlite", BAD) == 7
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"bad.example" not in left
    store = PageStore(tmp_path / "frontier.sqlite")
    assert store.totals()[0] == 3 and store.failures() == []
    assert sqlite3.connect(tmp_path / "frontier.sqlite").execute(
        "PRAGMA integrity_check"
    ).fetchone() == ("ok",)
    store.close()
