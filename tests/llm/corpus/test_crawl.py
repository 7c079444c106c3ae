"""The crawl section must take the sources that recipes write, and refuse others by name."""

import dataclasses
import email.utils
import time

import pydantic
import pytest

from llm.corpus.crawl import CrawlSettings
from llm.corpus.sources.files import FilesSource
from llm.corpus.sources.warc import WarcSource
from llm.corpus.web.crawler import WebSource
from llm.corpus.web.fetch import retry_after

CHECK = pydantic.TypeAdapter(CrawlSettings)


def test_sources_are_told_apart_by_their_type() -> None:
    settings = CHECK.validate_python(
        {
            "sources": {
                "docs": {"type": "web", "seeds": ["builtin:python-docs"], "max_pages": 800},
                "mine": {"type": "files", "path": "archive/*.jsonl.zst", "text": "body"},
                "old": {"type": "warc", "path": "crawl/*.warc.gz"},
            }
        }
    )
    kinds = [type(source) for source in settings.sources.values()]
    assert kinds == [WebSource, FilesSource, WarcSource]
    assert settings.sources["docs"].seeds == ("builtin:python-docs",)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({}, "at least 1 item"),
        ({"docs": {"type": "web", "seeds": []}}, "at least 1 item"),
        ({"docs": {"type": "ftp"}}, "'web', 'files', 'warc'"),
        ({"docs": {"type": "web", "seeds": ["x"], "depth": 3}}, "depth"),
        ({"docs": {"type": "web", "seeds": ["x"], "max_pages": 0}}, "greater than or equal to 1"),
        ({"my/docs": {"type": "files", "path": "x"}}, "letters, digits, - and _"),
    ],
)
def test_impossible_sources_are_refused(sources: object, said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        CHECK.validate_python({"sources": sources})


@pytest.mark.parametrize("kind", [WebSource, FilesSource, WarcSource])
def test_every_field_is_described(kind: type) -> None:
    for field in dataclasses.fields(kind):
        assert field.metadata["description"].endswith((".", ".zst."))


def test_retry_after_is_a_number_or_a_date() -> None:
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": date}) == pytest.approx(100, abs=60)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None
