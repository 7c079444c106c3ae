"""The bytes of one address, over as many connections as it takes, within limits."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import httpx

from llm.corpus.web.addresses import PrivateAddress
from llm.corpus.web.fetch import RETRIED, retry_after
from llm.corpus.web.headers import can_be_sent, together

if TYPE_CHECKING:
    from llm.corpus.archive.remote import Remote

# A try counts as new once this much more has come: a server may break off often, not for ever.
_GAIN = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Refused(Exception):
    """The server has answered, and will not give the file. `reason`: a word, a colon, details."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Later(Exception):
    """The server asks for patience. seconds: for how much."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Transfer:
    """The bytes of one address, over as many connections as it takes.

    validator: what the server says names this version of the file (ETag, Last-Modified).
    size: of the whole file, where the server has said it (bytes).
    """

    def __init__(self, remote: "Remote", url: str, validator: str = "") -> None:
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
                f"{self.url} has taken {hours:g} hours for {position} bytes: try again, which continues from "
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


def _validator(headers: Mapping[str, str]) -> str:
    """What names this version of the file: a strong ETag, else the date of its last change."""
    tag, changed = headers.get("etag", ""), headers.get("last-modified", "")
    if can_be_sent(tag) and not tag.startswith("W/"):
        return tag
    return changed if can_be_sent(changed) else ""
