"""What listings need of many files, kept in one, so that a file is read again only if it changed.

All of it can be made again from the files: it may be deleted at any time.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

# A file that was replaced this recently may be replaced again with the same time stamp.
SETTLED_SECONDS = 3.0


class Derived:
    """Plain values by name, each derived from a file with a stamp, in one SQLite file.

    version: of what is derived; another one starts from nothing.
    """

    def __init__(self, path: Path, version: int) -> None:
        self.path, self.version = path, version

    def of(self, stamps: Mapping[str, str], derive: Callable[[str], Any]) -> dict[str, Any]:
        """The values of these names; `derive` is called where none is known for the stamp.

        A name for which it gives None is left out. A stamp "" is never kept.
        """
        known = self._read()
        found: dict[str, Any] = {}
        fresh: dict[str, Any] = {}
        for name, stamp in stamps.items():
            before = known.get(name)
            if before is not None and stamp and before[0] == stamp:
                found[name] = json.loads(before[1])
                continue
            value = derive(name)
            if value is not None:
                found[name] = fresh[name] = value
        gone = known.keys() - stamps.keys()
        keep = {name: value for name, value in fresh.items() if _has_settled(stamps[name])}
        if keep or len(gone) > len(known) // 10:
            self._write({name: (stamps[name], value) for name, value in keep.items()}, gone)
        return found

    def forget(self) -> None:
        """Leave nothing of what was kept: deleted rows would stay in the file."""
        for name in (self.path.name, f"{self.path.name}-journal"):
            self.path.with_name(name).unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=5.0, isolation_level=None)
        database.execute("PRAGMA synchronous = OFF")
        if database.execute("PRAGMA user_version").fetchone()[0] != self.version:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DROP TABLE IF EXISTS derived")
            database.execute("CREATE TABLE derived (name TEXT PRIMARY KEY, stamp TEXT, value TEXT)")
            database.execute(f"PRAGMA user_version = {self.version}")
            database.execute("COMMIT")
        return database

    def _read(self) -> dict[str, tuple[str, str]]:
        if not self.path.exists():
            return {}
        try:
            with closing(self._open()) as database:
                rows = database.execute("SELECT name, stamp, value FROM derived")
                return {name: (stamp, value) for name, stamp, value in rows}
        except sqlite3.Error as error:
            self._give_up(error)
            return {}

    def _write(self, fresh: Mapping[str, tuple[str, Any]], gone: set[str]) -> None:
        try:
            with closing(self._open()) as database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(
                    "INSERT OR REPLACE INTO derived VALUES (?, ?, ?)",
                    [(name, stamp, json.dumps(value)) for name, (stamp, value) in fresh.items()],
                )
                database.executemany("DELETE FROM derived WHERE name = ?", [(one,) for one in gone])
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Without it listings are slow, and as right as with it."""
        log.debug("%s: %s", self.path, error)
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        ):
            self.path.unlink(missing_ok=True)  # no database: half written, or another file


def _has_settled(stamp: str) -> bool:
    """Whether a file's time stamp is old enough to tell it from a later one."""
    parts = stamp.split(" ")
    if len(parts) != 3 or not parts[1].isdigit():
        return bool(stamp)  # an object's tag
    return time.time() - int(parts[1]) / 1e9 > SETTLED_SECONDS
