"""Pages of a source that is read in pieces: a killed read goes on after the last whole piece."""

import sqlite3
from pathlib import Path

from llm.corpus.pages import PageStore

_SCHEMA = "CREATE TABLE IF NOT EXISTS done (piece TEXT PRIMARY KEY, note TEXT NOT NULL);"


class PieceStore(PageStore):
    """Pages and failures, and which pieces of a source they are from.

    Mark a piece in the transaction that holds its pages, and no kill can part them.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file. One that is damaged is made anew."""
        try:
            super().__init__(path, _SCHEMA, version=101)
        except sqlite3.DatabaseError:
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            super().__init__(path, _SCHEMA, version=101)

    def mark(self, piece: str, note: str = "") -> None:
        """Note that a piece is in, and how far it goes; a later note replaces an earlier one."""
        self.database.execute("INSERT OR REPLACE INTO done VALUES (?, ?)", (piece, note))

    def note(self, piece: str) -> str | None:
        """What was noted of a piece, None where it is not in yet."""
        query = "SELECT note FROM done WHERE piece = ?"
        row = self.database.execute(query, (piece,)).fetchone()
        return None if row is None else row[0]
