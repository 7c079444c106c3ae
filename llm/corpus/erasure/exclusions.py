"""Addresses that a corpus must not hold: which URL is covered by a list of addresses and domains.

An entry with `://` is an address; any other may be a domain, which covers its subdomains, whatever
the scheme, and what has none. A page's address is covered in every spelling that names the page,
over http, https and without a scheme alike; what is not a web address is covered as it stands.
"""

import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.corpus.web.traps import patterns
from llm.corpus.web.urls import normalise

# With more hosts than this, one pattern of all of them is slower than a look at each address.
_MOST_IN_PATTERN = 200


# An address in a text, or a host name alone.
_ADDRESS = re.compile(
    r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^\s<>\"\\^`{}|']+"
    r"|(?<![\w.-])(?:[\w-]{1,63}\.)+[^\W\d_][\w-]{1,62}(?::\d+)?(?:/[^\s<>\"\\^`{}|']*)?",
    re.IGNORECASE,
)
_AFTER = ".,;:!?)]&"


def addresses_in(text: str) -> Iterator[str]:
    """Whatever may be an address or a host name in a text, each once."""
    for found in dict.fromkeys(match.rstrip(_AFTER) for match in _ADDRESS.findall(text)):
        yield html.unescape(found)


class Exclusions:
    """The entries, made ready to be asked about many addresses."""

    def __init__(self, entries: Iterable[str]) -> None:
        entries = tuple(entries)
        self._addresses = {_address(entry) for entry in entries}
        self._domains = {entry for entry in entries if "://" not in entry}
        self._pattern = _pattern(entries)
        self._patterns = {
            pattern
            for entry in entries
            if "://" in entry
            for pattern, _ in patterns(web_address(entry) or entry)
        }

    def __bool__(self) -> bool:
        return bool(self._addresses or self._domains)

    def covers(self, url: str) -> bool:
        """Whether an address is on the list, or below a domain that is."""
        if _address(url) in self._addresses:
            return True
        if not self._domains:
            return False
        labels = _host(url).split(".")
        return any(".".join(labels[start:]) in self._domains for start in range(len(labels)))

    def covers_pattern(self, pattern: str) -> bool:
        """Whether what a crawl notes of addresses' shape (`web.traps`) is of covered ones."""
        return pattern in self._patterns or self.covers(f"http://{pattern}")

    def covers_some(self, text: str) -> bool:
        """Whether a text names a covered address or host."""
        return any(self.covers(one) for one in addresses_in(text))

    def without(self, text: str, instead: str) -> str:
        """The text with `instead` in the place of each covered address and host."""

        def put(match: re.Match[str]) -> str:
            kept = match[0].rstrip(_AFTER)
            end = match[0][len(kept) :]
            return instead + end if self.covers(html.unescape(kept)) else match[0]

        return _ADDRESS.sub(put, text)

    def among(self, urls: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Which of a column's addresses are covered: (N,) bool."""
        if not self or not len(urls):
            return np.zeros(len(urls), bool)
        likely = np.arange(len(urls))
        if self._pattern is not None:
            found = pc.match_substring_regex(urls, self._pattern, ignore_case=True)
            likely = np.flatnonzero(found.fill_null(False).to_numpy(zero_copy_only=False))
        covered = np.zeros(len(urls), bool)
        for index, url in zip(likely, urls.take(pa.array(likely)).to_pylist(), strict=True):
            covered[index] = url is not None and self.covers(url)
        return covered


def web_address(url: str) -> str | None:
    """`normalise`, also for an address without a scheme (`www.example.org/page`); None: neither."""
    spelling = normalise(url)
    if spelling is None and "://" not in url:
        host = url.strip().lstrip("/").partition("/")[0]
        # Rows of a file (`mine.jsonl#7`) are not pages of one host.
        if "." in host and "#" not in host:
            return normalise(f"http://{url.strip().lstrip('/')}")
    return spelling


def _address(url: str) -> str:
    """An address without its scheme, in one spelling; what is not a web address as it stands."""
    spelling = web_address(url)
    return url if spelling is None else spelling.partition("://")[2]


def _host(url: str) -> str:
    """The host in an address of any scheme or none, in its one spelling; "" where there is none."""
    spelling = web_address(url)
    try:
        name = urlsplit(spelling or (url if "://" in url else f"//{url}")).hostname or ""
    except ValueError:
        return ""
    if spelling is None and name:
        return urlsplit(normalise(f"http://{name}/") or "").hostname or name
    return name


def _pattern(entries: tuple[str, ...]) -> str | None:
    """What every covered address matches, so that few have to be looked at; None: look at all."""
    wanted: set[str] = set()
    for entry in entries:
        name = _host(entry) if "://" in entry else entry
        wanted.add(name or entry)
        # International names are also written as they are read.
        try:
            wanted.add(name.encode().decode("idna") or entry)
        except UnicodeError:
            return None
    if len(wanted) > _MOST_IN_PATTERN:
        return None
    return "|".join(re.escape(one) for one in sorted(wanted))
