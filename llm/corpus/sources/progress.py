"""Pages of a source that is not a web site: what was taken down stays out, and a killed read goes on."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from llm.corpus.archive.pages import Page, PageStore
from llm.corpus.erasure.exclusions import Exclusions

_SCHEMA = "CREATE TABLE IF NOT EXISTS done (piece TEXT PRIMARY KEY, note TEXT NOT NULL);"


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


class PieceStore(PageStore):
    """Pages and failures, and which pieces of a source they are from.

    Mark a piece in the transaction that holds its pages, and no kill can part them.
    """

    def __init__(self, path: Path, takedown: Iterable[str] = ()) -> None:
        """Open or make the file. One that is damaged is made again.

        takedown: addresses and domains whose pages are not kept but counted.
        """
        self.takedown = Exclusions(takedown)
        try:
            super().__init__(path, _SCHEMA, version=101)
        except sqlite3.DatabaseError:
            _remove(path)
            super().__init__(path, _SCHEMA, version=101)

    @classmethod
    def fresh(cls, path: Path, takedown: Iterable[str] = ()) -> "PieceStore":
        """Make the file again, for what is read again quicker than gone on with."""
        _remove(path)
        return cls(path, takedown)

    def add(self, page: Page) -> None:
        """Keep a page, unless it was taken down."""
        if self.takedown and self.takedown.covers(page.url):
            self.fail(page.url, f"taken_down: {page.position}")
        else:
            super().add(page)

    def mark(self, piece: str, note: str = "") -> None:
        """Note that a piece is in, and how far it goes; a later note replaces an earlier one."""
        self.database.execute("INSERT OR REPLACE INTO done VALUES (?, ?)", (piece, note))

    def note(self, piece: str) -> str | None:
        """What was noted of a piece, None where it is not in yet."""
        query = "SELECT note FROM done WHERE piece = ?"
        row = self.database.execute(query, (piece,)).fetchone()
        return None if row is None else row[0]
