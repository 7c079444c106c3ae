"""One polite HTTP request at a time: pacing by host, retries, limits of time and size."""

import asyncio
import dataclasses
import datetime
import email.utils
import socket
import sqlite3
import ssl
import zlib
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import httpx

from llm.corpus.web.addresses import Gate, PrivateAddress
from llm.corpus.web.connect import AsyncTransport
from llm.corpus.web.headers import content_type, lines, listed, media_type, only, together
from llm.corpus.web.limits import Limits
from llm.corpus.web.login import NO_LOGIN, Login
from llm.corpus.web.pace import Pace
from llm.corpus.web.unpack import FetchFailed as FetchFailed
from llm.corpus.web.unpack import Unpacked, too_large
from llm.corpus.web.urls import origin
from llm.step import BadInput

LIBRARIES = ("httpx",)

# Statuses by which a server says that it is asked too much.
_STRUGGLING = {408, 429, 503}

RETRIED = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that may be otherwise in a while."""

NOT_THE_SITE_S = (OSError, sqlite3.Error, MemoryError, BadInput)
"""Errors that no site is at fault for: the disk's, the machine's."""

PRIVATE = "private_address"
NOWHERE = "redirect: leads nowhere"
# Enough for every number that means something; more of them Python takes long for, or refuses.
_MOST_DIGITS = 18

# Names that never resolve, whatever a resolver says (RFC 6761).
_RESERVED = (".invalid", ".test", ".example")


@dataclass(frozen=True)
class Answer:
    """What a server said. `headers` as of `headers.together`; `body` decoded, empty unless it was wanted.

    request: the headers that it was asked with, without secrets.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    fetched_at: str
    request: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The declared type without parameters, in lower case."""
        return media_type(listed(self.headers, "content-type")).name

    @property
    def charset(self) -> str | None:
        """The charset as it was declared, None where it was not."""
        return media_type(listed(self.headers, "content-type")).charset

    @property
    def content_type(self) -> str:
        """The declared type, as it was written; where several were, the one that counts."""
        return content_type(self.headers)

    @property
    def locations(self) -> tuple[str, ...]:
        """Where a redirect leads; of several lines the first that is an address counts."""
        return tuple(filter(None, lines(self.headers, "location")))

    def lines(self, *names: str) -> dict[str, tuple[str, ...]]:
        """The lines of these headers, as far as they are there."""
        return {name: lines(self.headers, name) for name in names if name in self.headers}


@dataclass(frozen=True)
class _Wish:
    """What is wanted of a request: see `Fetcher.get`."""

    wanted: Callable[[Answer], bool]
    limit: int
    headers: Mapping[str, str]
    whole: bool


class Fetcher:
    """Fetches over HTTP. Use as `async with`; `requested` counts every request sent.

    gate: which hosts may be asked. login: headers that let the crawler in, kept from everybody but the hosts that they are for.
    """

    def __init__(
        self,
        user_agent: str,
        limits: Limits,
        gate: Gate,
        requested: Callable[[], None],
        login: Login = NO_LOGIN,
    ) -> None:
        self.limits = limits
        self.requested = requested
        self.login = login
        self.slots = asyncio.Semaphore(limits.connections)
        # No client of httpx: it would keep cookies, so that an answer depended on the pages before, and
        # stumble over redirects that nobody follows here.
        self.transport = AsyncTransport(gate, limits.connections)
        self.timeouts = {"timeout": httpx.Timeout(limits.timeout_seconds).as_dict()}
        self.headers = {
            "User-Agent": user_agent,
            # What can be unpacked within bounds; brotli packs a gigabyte into some kilobytes.
            "Accept-Encoding": "gzip, deflate",
            "Accept": "text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.1",
        }

    async def __aenter__(self) -> "Fetcher":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.transport.aclose()

    async def get(
        self,
        url: str,
        pace: Pace,
        wanted: Callable[[Answer], bool],
        max_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
        whole: bool = True,
    ) -> Answer:
        """Fetch `url`, in the host's turn. The body is read only if `wanted` says so of the rest.

        headers: further ones to send, such as the conditions of a conditional request.
        whole: a body over `max_bytes` is an error; else it is cut off there.

        Tried again after no answer and after the statuses in RETRIED, as late as Retry-After asks,
        else with doubling pauses, which the whole host keeps. Redirects are not followed.
        Raises FetchFailed.
        """
        attempt = 0
        limit = max_bytes or self.limits.max_bytes
        while True:
            struggling = False
            try:
                answer = await self._in_turn(url, pace, _Wish(wanted, limit, headers or {}, whole))
                if answer.status not in RETRIED:
                    return answer
                failure = FetchFailed(f"http_{answer.status}", True, answer.status)
                asked = retry_after(answer.headers)
                struggling = answer.status in _STRUGGLING
            except FetchFailed as error:
                if not error.unreachable:
                    raise
                failure, asked = error, None
            except (httpx.TransportError, TimeoutError, ssl.SSLError, ConnectionError) as error:
                failure, asked = self._failure(url, error), None
                struggling = failure.unreachable
            except zlib.error as error:
                raise FetchFailed(f"bad_answer: {error}", unreachable=False) from error
            except PrivateAddress as error:
                raise FetchFailed(str(error), unreachable=False) from error
            except (httpx.InvalidURL, UnicodeError) as error:
                # Nothing was sent, so that nothing is known of what the server would have said.
                raise FetchFailed(f"bad_request: {error}", unreachable=False) from error
            # Once an address: one page that never works does not mean that the whole host is slow.
            if struggling and attempt == 0:
                pace.struggled()
            pause = self.limits.backoff_seconds * 2**attempt if asked is None else asked
            if not failure.unreachable:
                raise failure
            if not pause <= self.limits.max_wait_seconds:
                failure.asked = asked
                raise failure
            pace.wait(pause)
            if attempt >= self.limits.retries:
                raise failure
            attempt += 1

    async def _in_turn(self, url: str, pace: Pace, wish: "_Wish") -> Answer:
        """One request, when it is the host's turn and there is a connection to spare."""
        clock = asyncio.get_running_loop().time
        async with pace.turn(), self.slots:
            start, good = clock(), False
            try:
                async with asyncio.timeout(self.limits.timeout_seconds):
                    answer = await self._request(url, wish)
                good = answer.status < 400
                return answer
            finally:
                pace.answered(clock() - start, good)

    async def _request(self, url: str, wish: "_Wish") -> Answer:
        self.requested()
        sent = {**self.headers, **wish.headers, **self.login.headers(url)}
        asked = httpx.Request("GET", url, headers=sent, extensions=self.timeouts)
        async with aclosing(await self.transport.handle_async_request(asked)) as response:
            headers = self.login.clean_answer(together(response.headers.multi_items()))
            now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            request = self.login.without_secrets(asked.headers)
            head = Answer(url, response.status_code, headers, b"", now, request)
            if not wish.wanted(head):
                return head
            if wish.whole and _number(only(headers, "content-length")) > wish.limit:
                raise too_large(wish.limit)
            body = Unpacked(listed(headers, "content-encoding"), wish.limit, wish.whole)
            async for chunk in response.aiter_raw():
                body.feed(chunk)
                if body.full:
                    break
            else:
                body.finish()
            if self.login.is_told_by(body.data):
                raise FetchFailed("tells_the_login: the page shows the secret", unreachable=False)
            return dataclasses.replace(head, body=bytes(body.data))

    def _failure(self, url: str, error: Exception) -> FetchFailed:
        """What an error of the network means."""
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            seconds = self.limits.timeout_seconds
            return FetchFailed(f"timeout: no whole answer in {seconds:g} s", unreachable=True)
        name = httpx.URL(url).host
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, socket.gaierror):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            unknown = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
            if cause.errno in unknown or name.endswith(_RESERVED):
                return FetchFailed(f"does_not_resolve: {name}", unreachable=False)
            return FetchFailed(f"name_service: {cause.strerror} for {name}", unreachable=True)
        said = str(error) or type(error).__name__
        return FetchFailed(f"connection: {origin(url)}: {said}", unreachable=True)


def unforeseen(error: Exception) -> str:
    """The reason of a failure that nobody thought of."""
    return f"unforeseen: {type(error).__name__}: {error}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for (a number or a date), None without one; of several, most.

    headers: as of `headers.together`, or what looks names up in any case.
    """
    asked = [_seconds(line.strip()) for line in lines(headers, "retry-after")]
    return max((seconds for seconds in asked if seconds is not None), default=None)


def _seconds(value: str) -> float | None:
    if value.isdecimal():
        return float(value[:_MOST_DIGITS])
    try:
        date = email.utils.parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=datetime.UTC)
        now = datetime.datetime.now(datetime.UTC)
        return max(0.0, (date - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def _number(text: str) -> int:
    return int(text[:_MOST_DIGITS]) if text.isdecimal() else 0
