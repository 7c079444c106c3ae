"""The step that reads web archives: the user's own, or on a web server."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from llm import located
from llm.corpus.archive.archives import Other, read_stream
from llm.corpus.archive.connections import Refused
from llm.corpus.archive.pages import Page
from llm.corpus.archive.remote import Remote
from llm.corpus.archive.remote_file import RemoteFile
from llm.corpus.archive.warc import write_pages
from llm.corpus.sources.files import expand, short_names
from llm.corpus.sources.lists import Entry, is_address, read_list
from llm.corpus.sources.progress import PieceStore
from llm.corpus.sources.warc_settings import WarcSource
from llm.corpus.web.login import Login, login
from llm.corpus.web.urls import host, normalise
from llm.step import BadInput, Context, Inputs, StepResult


def local_files(values: WarcSource) -> list[Path]:
    """The files of the user's own that decide what is read: archives, or a list and what it names.

    Raises BadInput where one is missing.
    """
    if values.path is not None:
        return [] if is_address(values.path) else expand(values.path)
    assert values.list is not None
    if is_address(values.list):
        return []
    (listed,) = expand(values.list) if not Path(values.list).is_dir() else [Path(values.list)]
    places = dict.fromkeys(
        entry.place for entry in _listed(values, None) if not is_address(entry.place)
    )
    missing = [place for place in places if not Path(place).is_file()]
    if missing:
        raise BadInput(
            f"{located.written(values.list)} names {located.where(missing[0])}, which is not there: "
            "correct base"
        )
    return [listed, *map(Path, places)]


def identity(values: WarcSource, snapshot: str) -> dict[str, str]:
    """What else names the result, besides the files' content.

    An address stands for what it held when it was first read (published archives do not change),
    unless the recipe asks for each snapshot: so planning needs no network.
    """
    return {"snapshot": snapshot} if values.is_remote and values.read_again == "snapshot" else {}


def read(values: WarcSource, inputs: Inputs, context: Context) -> StepResult:
    """Read the pages of the archives into WARC shards of our own, an archive at a time.

    Bad records, and archives that a server refuses, are counted in failures.parquet with file,
    offset and reason; records that never hold a page (`other_records`) by their kind. Raises BadInput when there is no good record, ConnectionError while an
    archive cannot be reached: the next try continues from there.
    """
    store = PieceStore(context.work / "warc.sqlite", context.machine.takedown)
    try:
        places = [place for place in (values.path, values.list, values.base) if place]
        with Remote(values.remote, context.machine.hosts, places=places) as remote:
            entries = list(_entries(values, remote))
            reader = _Reader(values, store, remote, context)
            reader.read(entries)
        if not store.totals()[0]:
            reasons = "; ".join(f"{url}: {reason}" for url, reason in store.failures()[:3])
            where = located.written(values.path or values.list or "")
            raise BadInput(f"no page in {where!r} can be read. {reasons}")
        others = dict(sorted(reader.others.items()))
        counts = {"files": len(entries), **({"other_records": others} if others else {})}
        return write_pages(store, context, values.shard_bytes, counts)
    finally:
        store.close()


def _login(values: WarcSource) -> Login:
    """The secrets of the recipe's headers, for the hosts that it names. Raises BadInput."""
    named = [place for place in (values.path, values.list, values.base) if place]
    urls = [url for url in map(normalise, filter(is_address, named)) if url is not None]
    plain = {host(url) for url in urls if url.startswith("http://")}
    return login(values.headers, {host(url) for url in urls}, plain)


def _entries(values: WarcSource, remote: Remote) -> Iterator[Entry]:
    # As for crawls, secrets are read from the environment here and not handed through a queue.
    remote.log_in(_login(values))
    if values.path is None:
        yield from _listed(values, remote)
    elif is_address(values.path):
        yield Entry(values.path, values.path)
    else:
        paths = expand(values.path)
        for path, name in zip(paths, short_names(paths), strict=True):
            yield Entry(str(path), name)


def _listed(values: WarcSource, remote: Remote | None) -> list[Entry]:
    """The first entries of the list."""
    assert values.list is not None
    stream: BinaryIO
    if is_address(values.list):
        assert remote is not None and values.base is not None
        try:
            stream = io.BytesIO(remote.get(values.list))
        except Refused as error:
            raise BadInput(f"the list {values.list} cannot be had: {error.reason}") from error
        base = values.base
    else:
        stream = expand(values.list)[0].open("rb")
        base = values.base or str(expand(values.list)[0].parent)
    with stream:
        found = []
        for entry in read_list(stream, located.written(values.list), base):
            found.append(entry)
            if len(found) == values.max_files:
                break
    if not found:
        raise BadInput(f"the list {located.written(values.list)} names no archive")
    return found


class _Reader:
    """Reads entry after entry into the store, each in one transaction."""

    def __init__(
        self, values: WarcSource, store: PieceStore, remote: Remote, context: Context
    ) -> None:
        self.values = values
        self.store = store
        self.remote = remote
        self.context = context
        self.pages = store.totals()[0]
        self.others: Counter[str] = Counter()

    def read(self, entries: list[Entry]) -> None:
        unreachable: list[ConnectionError] = []
        for number, entry in enumerate(entries):
            self.context.report.progress(number, len(entries), "archives")
            if self._is_full():
                break
            piece = f"{number} {entry.offset} {entry.place}"
            note = self.store.note(piece)
            if note is not None:
                self.others.update(json.loads(note))
                continue
            before, others = self.pages, self.others
            self.others = Counter()
            try:
                with self.store.transaction():
                    self._read_entry(entry)
                    self.store.mark(piece, json.dumps(self.others))
                self.others = others + self.others
            except ConnectionError as error:
                self.pages, self.others = before, others
                unreachable.append(error)
                # What is not to be had now is left for the next try; a limit must not be filled
                # from elsewhere meanwhile, or the result would depend on the network.
                if self.values.max_records is not None or len(unreachable) == 3:
                    break
        if unreachable:
            raise unreachable[0]

    def _is_full(self) -> bool:
        return self.values.max_records is not None and self.pages >= self.values.max_records

    def _read_entry(self, entry: Entry) -> None:
        try:
            if not is_address(entry.place):
                with Path(entry.place).open("rb") as file:
                    self._keep(self._part(file, entry), entry)
            elif entry.length is not None:
                data = self.remote.get(entry.place, entry.offset, entry.length)
                self._keep(io.BytesIO(data), entry)
            else:
                self._read_remote(entry)
        except Refused as error:
            self._fail(entry, entry.offset, error.reason)

    def _part(self, file: BinaryIO, entry: Entry) -> BinaryIO:
        if entry.length is None:
            return file
        file.seek(entry.offset)
        return io.BytesIO(file.read(min(entry.length, self.values.remote.max_bytes)))

    def _read_remote(self, entry: Entry) -> None:
        name = hashlib.blake2b(entry.place.encode(), digest_size=16).hexdigest()
        file: RemoteFile = self.remote.open(entry.place, self.context.work / f"{name}.part")
        try:
            self._keep(cast(BinaryIO, io.BufferedReader(file, 1 << 16)), entry)
            if file.failure is not None:
                raise file.failure
            if file.cut:
                self._fail(entry, file.size, f"too_large: over {file.size} bytes, read up to there")
        except ConnectionError:
            file.close()
            raise
        file.forget()

    def _keep(self, stream: BinaryIO, entry: Entry) -> None:
        limit = self.values.max_page_bytes
        for item in read_stream(stream, limit, entry.name, entry.offset):
            if isinstance(item, Page):
                self.store.add(item)
                self.pages += 1
                if self._is_full():
                    return
            elif isinstance(item, Other):
                self.others[item.kind] += 1
            else:
                self._fail(entry, item.offset, item.reason, item.url)

    def _fail(self, entry: Entry, offset: int, reason: str, url: str = "") -> None:
        reason, _, detail = reason.partition(": ")
        said = f"{reason}: at byte {offset} of {entry.name}" + (f": {detail}" if detail else "")
        there = entry.place if is_address(entry.place) else f"file:///{entry.name}"
        self.store.fail(url or there, said)
