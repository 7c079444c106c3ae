"""What is erased leaves no byte behind, and nothing else moves."""

import gzip
import io
import random
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.archiveiterator import ArchiveIterator as Warcio

from llm.corpus.archive.pages import Page, PageStore
from llm.corpus.documents import DOC_ID
from llm.corpus.erasure.erase import erase_entries, erase_examples, erase_records, erase_rows
from llm.corpus.erasure.exclusions import Exclusions
from llm.corpus.web.frontier import Frontier
from llm.corpus.web.recrawl import FILES
from llm.corpus.web.urls import Address
from llm.examples.settings import CONVERSATIONS
from llm.examples.shards import Example, Shard, ShardWriter
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


FEED = b"""<rss><channel><item><link>http://good.example/post-5</link>
<description>the text of it &amp; more</description></item></channel></rss>"""
PLAIN_FEED = FEED.replace(b"post-5", b"post-6")


def tells(body: bytes) -> bool:
    """As a purge asks: of an address, in this test."""
    packed = body.startswith(b"\x28\xb5\x2f\xfd")
    text = zstandard.decompress(body) if packed else body
    return Exclusions(["http://good.example/post-5", "bad.example"]).covers_some(text.decode())


def test_a_frontier_forgets_all_that_names_a_page_or_its_site(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path)
    frontier.start(["http://good.example/a", "http://bad.example/7/x", "http://x.bad.example/8"])
    level = frontier.next_level(5)
    assert level == 0
    for one in frontier.waiting(0):
        if "good" in one.url:
            frontier.move(one, Address("http://bad.example/target"))
    frontier.set_robots("https://x.bad.example", 200, b"User-agent: *", 1.0)
    frontier.set_robots("https://good.example", 200, b"User-agent: *", 1.0)
    listed = [["http://bad.example/map.xml"], ["http://good.example/map2.xml"]]
    for number, further in enumerate(listed):
        frontier.set_sitemap(f"http://good.example/{number}.xml", [], further)
    for host in ("x.bad.example", "good.example", "notbad.example"):
        frontier.database.execute("INSERT INTO patterns VALUES (?, 3)", (f"{host}/0/?a",))
    for name, body in (("feed", zstandard.compress(FEED)), ("other", PLAIN_FEED)):
        for table in ("files", "earlier_files"):
            row = (f"http://good.example/{name}", "text/xml", "", "", body)
            frontier.database.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", row)
    frontier.close()
    path = tmp_path / "frontier.sqlite"
    assert erase_entries(path, Exclusions(["http://good.example/post-5", "bad.example"]), tells)
    data = path.read_bytes()
    assert b"/bad.example" not in data and b"x.bad.example" not in data
    assert b"post-5" not in data and b"post-6" in data
    database = sqlite3.connect(path)
    left = {
        table: [row[0] for row in database.execute(f"SELECT {column} FROM {table}")]
        for table, column in (("robots", "origin"), ("patterns", "pattern"), ("sitemaps", "url"))
    }
    database.close()
    assert left == {
        "robots": ["https://good.example"],
        "patterns": ["good.example/0/?a", "notbad.example/0/?a"],
        "sitemaps": ["http://good.example/1.xml"],
    }
    assert erase_entries(path, Exclusions(["bad.example"]), tells) == 0


def test_a_feed_that_names_an_erased_page_is_erased_with_it(tmp_path: Path) -> None:
    rows = [
        {"url": f"http://good.example/{name}", "body": zstandard.compress(body)}
        for name, body in (("feed", FEED), ("other", PLAIN_FEED))
    ]
    pq.write_table(pa.Table.from_pylist(rows, FILES), tmp_path / "files.parquet")
    one = Exclusions(["http://good.example/post-5"])
    out = tmp_path / "out.parquet"
    assert erase_rows(tmp_path / "files.parquet", out, one, NOBODY, tells=tells) == 1
    assert pq.read_table(out)["url"].to_pylist() == ["http://good.example/other"]


def test_examples_go_by_their_address(tmp_path: Path) -> None:
    path, out = tmp_path / "train.arrow", tmp_path / "out.arrow"
    messages = [{"role": "assistant", "content": MARKER}]
    with ShardWriter(path, CONVERSATIONS, "train") as shard:
        for host in ("bad.example", "good.example", "bad.example", ""):
            shard.add(Example((messages,), host and f"http://{host}/q"))
    assert erase_examples(path, out, BAD) == 2
    left = [one.url for one in Shard.open(out).examples(CONVERSATIONS)]
    assert left == ["http://good.example/q", ""]
    assert b"bad.example" not in out.read_bytes()
    assert erase_examples(out, tmp_path / "again.arrow", BAD) == 0
    assert not (tmp_path / "again.arrow").exists()


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("see http://bad.example/a?b=1&amp;c, and more", "see X, and more"),
        ("bad.example refused (x.bad.example:8080/y).", "X refused (X)."),
        (
            "http://good.example/?to=http://bad.example/",
            "http://good.example/?to=http://bad.example/",
        ),
        ("notbad.example and bad.example.org", "notbad.example and bad.example.org"),
        ("no address at all: 1.5, v2.0.1, a.b", "no address at all: 1.5, v2.0.1, a.b"),
    ],
)
def test_addresses_in_messages_are_replaced(text: str, after: str) -> None:
    assert BAD.without(text, "X") == after


def test_long_words_are_gone_through_in_a_line() -> None:
    """Work, not seconds: a search that starts again at each letter would never end here."""
    text = "a" * 2_000_000 + "." + "-" * 2_000_000 + "://"
    assert BAD.without(text, "X") == text
