"""Records that are written: whatever a field holds, another reader finds the header that was meant."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from llm.corpus.archive.pages import Page, PageStore
from llm.corpus.archive.records import records

PAGE = Page("http://a.de/", b"<p>text</p>", fetched_at="2020-01-01T00:00:00Z", position="a.warc@5")
ENDS = ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028", "\x00", "\x1b"]


def stored(page: Page, folder: Path) -> Page:
    store = PageStore(folder / "pages.sqlite")
    try:
        store.add(page)
        return next(store.between(0, 1 << 62))
    finally:
        store.close()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["response", "conversion", "resource"])
def test_no_field_makes_a_line_of_its_own(end: str, kind: str, tmp_path: Path) -> None:
    forged = f"x{end}WARC-Target-URI: http://other.example/{end}{end}Y: z"
    odd = replace(
        PAGE,
        kind=kind,
        url=f"file:///{forged}",
        content_type=f"text/html; {forged}",
        headers={"content-type": f"text/html; {forged}", f"X-{end}A": forged},
        fetched_at=f"2020-01-01T00:00:00Z{forged}",
        position=forged,
        request={"accept": forged},
    )
    for page in (odd, stored(odd, tmp_path)):
        data = b"".join(records(page))
        found = list(ArchiveIterator(io.BytesIO(data), no_record_parse=True))
        assert [one.rec_type for one in found] == [kind, "request"]
        plain = next(records(replace(PAGE, kind=kind, content_type="text/html")))
        names = [
            line.partition(b":")[0] for line in plain.partition(b"\r\n\r\n")[0].splitlines()[1:]
        ]
        assert [name.encode() for name, _ in found[0].rec_headers.headers] == names
        assert found[0].rec_headers.get_header("WARC-Target-URI").startswith("file:///x")


def test_a_date_is_one_or_not_known(tmp_path: Path) -> None:
    assert stored(PAGE, tmp_path).fetched_at == PAGE.fetched_at
    for said in ("last night", "2020-01-01", "2020-13-01T00:00:00Z", "2020-01-01T00:00:00Z\nX: y"):
        (tmp_path / "pages.sqlite").unlink(missing_ok=True)
        assert stored(replace(PAGE, fetched_at=said), tmp_path).fetched_at == Page.fetched_at
