"""Files on web servers: read as they come, gone on with after a broken connection, within limits."""

import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from llm.corpus.archive.remote_settings import RemoteSettings
from llm.corpus.web.addresses import Gate, PrivateAddress, private_names
from llm.corpus.web.connect import Transport
from llm.corpus.web.fetch import RETRIED, retry_after
from llm.corpus.web.headers import can_be_sent, together
from llm.corpus.web.login import Login
from llm.durable import write_json

# A try counts as new once this much more has come: a server may break off often, not for ever.
_GAIN = 1 << 20
# After so many bytes more it is noted how far a file is on the disk.
_NOTE_BYTES = 64_000_000
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Refused(Exception):
    """The server has answered, and will not give the file. `reason`: a word, a colon, details."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Remote:
    """A client that asks one thing at a time, with a pause between requests."""

    def __init__(
        self,
        values: RemoteSettings,
        hosts: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        places: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """hosts: addresses (host:port) that stand in for host names.

        places: what the recipe names; its addresses and localhost may be private.
        """
        gate = Gate(hosts or {}, private_names(places, values.private_hosts))
        self.values = values
        self.sleep = sleep
        self.clock = clock
        self.asked = 0
        self.client = httpx.Client(
            transport=Transport(gate),
            timeout=values.timeout_seconds,
            follow_redirects=True,
            max_redirects=5,
            headers={"User-Agent": values.user_agent, "Accept-Encoding": "identity"},
            trust_env=False,
            event_hooks={"response": [_lead_to_one]},
        )

    def __enter__(self) -> "Remote":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()

    def log_in(self, login: Login) -> None:
        """Send a login's headers from now on, to its own hosts and to none that they lead to."""

        def set_headers(request: httpx.Request) -> None:
            for name in login.secrets:  # a redirect takes over what was sent before
                request.headers.pop(name, None)
            request.headers.update(login.headers(str(request.url)))

        self.client.event_hooks = {**self.client.event_hooks, "request": [set_headers]}

    def get(self, url: str, start: int = 0, length: int | None = None) -> bytes:
        """A whole file, or `length` bytes of it from `start`.

        Raises Refused for what is larger than `max_bytes`, not there or shorter, ConnectionError
        for what another time may bring.
        """
        limit = self.values.max_bytes
        if length is not None and length > limit:
            raise Refused(f"too_large: {length} bytes are asked for, over {limit}")
        data = bytearray()
        for chunk in Transfer(self, url).chunks(start, length):
            data += chunk
            if len(data) > limit:
                raise Refused(f"too_large: over {limit} bytes")
        if length is not None and len(data) < length:
            raise Refused(f"truncated: the file ends after {start + len(data)} bytes")
        return bytes(data)

    def open(self, url: str, kept: Path) -> "RemoteFile":
        """A file to read from, kept at `kept` as it comes in; what is there already is not asked for.

        Raises Refused and ConnectionError as soon as the server's first answer does.
        """
        return RemoteFile(Transfer(self, url), kept, self.values.max_bytes)


class Transfer:
    """The bytes of one address, over as many connections as it takes.

    validator: what the server says names this version of the file (ETag, Last-Modified).
    size: of the whole file, where the server has said it (bytes).
    """

    def __init__(self, remote: Remote, url: str, validator: str = "") -> None:
        self.remote = remote
        self.url = url
        self.validator = validator
        self.size: int | None = None
        self.begun = remote.clock()

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` on, at most `length`. Raises Refused and ConnectionError."""
        values = self.remote.values
        position, mark, tries = start, start, 0
        end = None if length is None else start + length
        while end is None or position < end:
            try:
                before = position
                for chunk in self._connection(position, end):
                    position += len(chunk)
                    yield chunk
                    self._check_time(position)
                goal = self.size if end is None else min(end, self.size or end)
                if goal is None or position >= goal or position == before:
                    return
            except PrivateAddress as error:
                raise Refused(str(error)) from error
            except (
                httpx.InvalidURL,
                httpx.UnsupportedProtocol,
                httpx.TooManyRedirects,
                UnicodeError,  # a host name that is none, in a redirect
            ) as error:
                raise Refused(f"bad_address: {error}") from error
            except (httpx.TransportError, _Later) as error:
                tries = 1 if position - mark >= _GAIN else tries + 1
                mark = position
                said = str(error) or type(error).__name__
                if tries > values.retries:
                    raise ConnectionError(
                        f"{self.url} breaks off at byte {position}: {said}"
                    ) from error
                wait = values.backoff_seconds * 2 ** (tries - 1)
                asked = error.seconds if isinstance(error, _Later) else 0.0
                if asked > values.max_wait_seconds:
                    raise ConnectionError(
                        f"{self.url} asks for a pause of {asked:.0f} seconds: try again then, or "
                        "raise max_wait_seconds"
                    ) from error
                self._check_time(position)
                self.remote.sleep(max(min(wait, values.max_wait_seconds), asked))

    def _check_time(self, position: int) -> None:
        """Raise ConnectionError where the file has had its time."""
        hours = self.remote.values.max_hours
        if hours is not None and self.remote.clock() - self.begun > hours * 3600:
            raise ConnectionError(
                f"{self.url} has taken {hours:g} hours for {position} bytes: try again, which goes on from "
                "there, or raise max_hours"
            )

    def _connection(self, position: int, end: int | None) -> Iterator[bytes]:
        """What one connection gives of [position, end)."""
        remote = self.remote
        if remote.asked:
            remote.sleep(remote.values.delay_seconds)
        remote.asked += 1
        headers = {}
        if position or end is not None:
            headers["Range"] = f"bytes={position}-{'' if end is None else end - 1}"
            if self.validator:
                headers["If-Range"] = self.validator
        with remote.client.stream("GET", self.url, headers=headers) as response:
            skip = self._accept(response, position)
            if skip is None:
                return
            left = None if end is None else end - position
            for chunk in response.iter_raw():
                chunk, skip = chunk[skip:], max(0, skip - len(chunk))
                if left is not None:
                    chunk = chunk[:left]
                    left -= len(chunk)
                if chunk:
                    yield chunk
                if left == 0:
                    return

    def _accept(self, response: httpx.Response, position: int) -> int | None:
        """How many bytes to skip before `position`; None: there are none from there on."""
        status = response.status_code
        if status == 416:
            size = response.headers.get("content-range", "").rpartition("*/")[2]
            if size == str(position):
                return None
            raise Refused(f"http_416: no byte {position} in {size or 'unknown'} bytes")
        if status in RETRIED:
            said = together(response.headers.multi_items())
            raise _Later(f"http_{status}", retry_after(said) or 0.0)
        if status not in (200, 206):
            raise Refused(f"http_{status}")
        found = _validator(response.headers)
        if self.validator and found != self.validator and position:
            raise Refused(f"changed: the file became another one at byte {position}")
        self.validator = found
        if status == 200:
            return position
        match = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None or int(match[1]) != position:
            said = response.headers.get("content-range", "nothing")
            raise Refused(f"bad_answer: asked for bytes from {position}, given {said}")
        self.size = None if match[2] == "*" else int(match[2])
        return 0


class _Later(Exception):
    """The server asks for patience. seconds: for how much."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class RemoteFile(io.RawIOBase):
    """A file that is fetched as far as it is read, and kept, so that a killed read goes on from there.

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


def _lead_to_one(response: httpx.Response) -> None:
    """Of several Location lines, which httpx would join, let the first one count."""
    found = response.headers.get_list("location")
    if len(found) > 1:
        response.headers["location"] = found[0]


def _validator(headers: Mapping[str, str]) -> str:
    """What names this version of the file: a strong ETag, else the date of its last change."""
    tag, changed = headers.get("etag", ""), headers.get("last-modified", "")
    if can_be_sent(tag) and not tag.startswith("W/"):
        return tag
    return changed if can_be_sent(changed) else ""
