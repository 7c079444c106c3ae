"""A file on a web server, fetched as far as it is read, and kept as it comes in."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm.corpus.archive.connections import Refused, Transfer
from llm.durable import write_json

# How often it is noted how far a file is on the disk (bytes).
_NOTE_BYTES = 64_000_000


class RemoteFile(io.RawIOBase):
    """A file that is fetched as far as it is read, and kept, so that a killed read continues from there.

    What goes wrong midway looks like the file's end to whoever reads, and stands in `failure`.
    cut: whether the file went on beyond the limit.
    """

    def __init__(self, transfer: Transfer, kept: Path, max_bytes: int) -> None:
        self.transfer = transfer
        self.limit = max_bytes
        self.notes = kept.with_name(kept.name + ".json")
        self.kept = kept
        self.cut = False
        self.failure: Exception | None = None
        self.position = 0
        self.noted_size = 0
        self.file = kept.open("a+b")
        self.size = self.file.seek(0, io.SEEK_END)
        self.incoming: Iterator[bytes] | None = None
        self._go_on()

    def _go_on(self) -> None:
        """Ask for what is not here yet; a file that has changed since is begun again."""
        before = self._noted()
        noted = before.get("size")
        if not isinstance(noted, int) or not 0 <= noted <= self.size:
            noted = 0
        # What came after the last note may not have reached the disk.
        self.file.truncate(noted)
        self.size = noted
        if self.size and not before.get("validator"):
            self._restart()
        self.transfer.validator = before.get("validator", "") if self.size else ""
        if before.get("whole") and self.size:
            self.incoming = iter(())
            return
        try:
            self._begin()
        except Refused as error:
            if not error.reason.startswith(("changed", "http_416")) or not self.size:
                raise
            self._restart()
            self._begin()

    def _begin(self) -> None:
        self.incoming = self.transfer.chunks(self.size)
        self._take()
        self._note(whole=self.incoming is None)

    def _restart(self) -> None:
        self.file.truncate(0)
        self.size = 0
        self.transfer.validator = ""

    def _noted(self) -> dict[str, Any]:
        try:
            found = json.loads(self.notes.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _note(self, whole: bool) -> None:
        """Write down how far the file goes, once it is on the disk as far."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.noted_size = self.size
        said = {"validator": self.transfer.validator, "whole": whole, "size": self.size}
        write_json(self.notes, said)

    def _take(self) -> None:
        """Fetch one piece more."""
        assert self.incoming is not None
        chunk = next(self.incoming, b"")
        room = self.limit - self.size
        if not chunk or len(chunk) > room:
            self.cut = bool(chunk)
            self.incoming = None
        self.file.write(chunk[:room])
        self.size += len(chunk[:room])

    def _fill(self, end: int) -> None:
        if self.incoming is None or self.size >= end:
            return
        try:
            while self.incoming is not None and self.size < end:
                self._take()
                if self.size - self.noted_size >= _NOTE_BYTES:
                    self._note(whole=False)
        except (Refused, ConnectionError) as error:
            self.failure = error
            self.incoming = None
            self._note(whole=False)
            return
        if self.incoming is None:
            self._note(whole=not self.cut)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            self._fill(self.limit + 1)
            offset += self.size
        elif whence == io.SEEK_CUR:
            offset += self.position
        self.position = max(0, offset)
        return self.position

    def readinto(self, buffer: Any) -> int:
        self._fill(self.position + len(buffer))
        self.file.seek(self.position)
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            if self.size > self.noted_size and self.incoming is not None:
                self._note(whole=False)
            self.file.close()
        super().close()

    def forget(self) -> None:
        """Close and remove what was kept."""
        self.noted_size = self.size
        self.close()
        self.kept.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
