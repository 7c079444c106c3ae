"""The takedown list: addresses and domains whose documents a corpus must not hold any more.

It lives in one file of the project's home. A crawl neither fetches nor keeps what it covers, and
the documents that it covers are left out when a shard is written.
"""

import dataclasses
import fcntl
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm import durable
from llm.corpus.documents import EXTRACTED, identities, read_table
from llm.corpus.erasure.erased import ERASED
from llm.corpus.erasure.exclusions import Exclusions, web_address
from llm.corpus.web.urls import normalise
from llm.step import BadInput, digest_of


@dataclasses.dataclass(frozen=True)
class Takedown:
    """One entry. entry: an address or a domain; times are Unix seconds.

    seen_by: what a purge found to have been made from it: {"step", "key", "label", "at", ...}.
    """

    entry: str
    reason: str = ""
    added_at: float = 0.0
    purged_at: float | None = None
    seen_by: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Takedowns:
    """The list, in the order in which its entries came."""

    entries: tuple[Takedown, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Takedowns":
        """Read the list; an empty one where there is no file. Raises BadInput."""
        try:
            found = json.loads(path.read_text("utf8"))["entries"]
            return cls(tuple(Takedown(**{**one, "seen_by": (*one["seen_by"],)}) for one in found))
        except FileNotFoundError:
            return cls()
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{path} cannot be read ({error}): restore it from a backup. Without it a crawl "
                "would bring back what was taken down"
            ) from None

    @cached_property
    def _exclusions(self) -> Exclusions:
        return Exclusions(exclusions(self))

    @property
    def digest(self) -> str:
        """Hex digest over what is covered, whatever the order, reasons and dates."""
        return digest_of(exclusions(self))

    def covers(self, url: str) -> bool:
        """Whether an address was taken down, by itself or with its domain."""
        return self._exclusions.covers(url)

    def add(self, entry: str, reason: str = "", at: float = 0.0) -> "Takedowns":
        """The list with one more entry; unchanged where it is there already."""
        if any(one.entry == entry for one in self.entries):
            return self
        return Takedowns((*self.entries, Takedown(entry, reason, at)))

    def remove(self, entry: str) -> "Takedowns":
        """The list without an entry. Raises BadInput: not there, or its documents are gone."""
        found = next((one for one in self.entries if one.entry == entry), None)
        if found is None:
            raise BadInput(f"{entry} is not on the takedown list: `penstock takedown --list`")
        if found.purged_at is not None:
            raise BadInput(
                f"{entry} has been purged: its documents are gone, and stay away as long as it is "
                "on the list"
            )
        return Takedowns(tuple(one for one in self.entries if one is not found))

    def noting(self, **fields: Any) -> "Takedowns":
        """The list with these fields of all entries set."""
        return Takedowns(tuple(dataclasses.replace(one, **fields) for one in self.entries))


def address_entry(url: str) -> str:
    """An entry for one address, as it is written on the list. Raises BadInput."""
    given = url.strip()
    spelling = web_address(given)
    if spelling is None and not (urlsplit(given).scheme or "/" in given or "#" in given):
        raise BadInput(f"--url {url!r}: give a whole address, such as https://example.org/page")
    return spelling or given


def domain_entry(domain: str) -> str:
    """An entry for a domain and its subdomains, as it is written on the list. Raises BadInput."""
    given = domain.strip().strip(".").lower()
    spelling = normalise(f"http://{given}/")
    name = urlsplit(spelling or "").hostname
    if name is None or spelling != f"http://{name}/" or "@" in given:
        raise BadInput(f"--domain {domain!r}: give a host name alone, such as example.org")
    return name


def exclusions(takedowns: Takedowns) -> tuple[str, ...]:
    """The list as plain words, sorted: what a crawl and the writing of shards are given."""
    return tuple(sorted({one.entry for one in takedowns.entries}))


def erased_in(extracted_folder: Path, takedowns: Takedowns | Exclusions) -> tuple[str, ...]:
    """Ids (hex, sorted) of a shard's documents that are taken down, purged already or not.

    Only the addresses are read, not the text. The result is the same before and after a purge, so
    that a purge rebuilds nothing more.
    """
    covered = takedowns._exclusions if isinstance(takedowns, Takedowns) else takedowns
    purged = extracted_folder / ERASED
    found = set(json.loads(purged.read_text("utf8"))) if purged.is_file() else set()
    if covered:
        path = extracted_folder / "documents.parquet"
        urls = read_table(path, EXTRACTED, ["url"])["url"]
        rows = covered.among(urls)
        if rows.any():
            ids = identities(read_table(path, EXTRACTED, ["doc_id"])["doc_id"])
            found |= {ids[index : index + 1].tobytes().hex() for index in rows.nonzero()[0]}
    return tuple(sorted(found))


def change_list(path: Path, change: Callable[[Takedowns], Takedowns]) -> Takedowns:
    """Read, change and write the list, all or nothing, while nobody else does. Returns the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = Takedowns.load(path)
        after = change(before)
        if after != before:
            entries = [dataclasses.asdict(one) for one in after.entries]
            durable.write_json(path, {"entries": entries})
        return after
