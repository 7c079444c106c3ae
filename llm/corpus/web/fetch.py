"""One polite HTTP request at a time: pacing by host, retries, limits of time and size."""

import asyncio
import dataclasses
import datetime
import email.utils
import ipaddress
import socket
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy

import httpx

from llm.corpus.web.limits import Limits
from llm.corpus.web.login import NO_LOGIN, Login
from llm.corpus.web.pace import Pace
from llm.corpus.web.urls import origin

LIBRARIES = ("httpx",)

# Statuses by which a server says that it is asked too much.
_STRUGGLING = {408, 429, 503}

RETRIED = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that may be otherwise in a while."""

NOWHERE = "redirect: leads nowhere"
# How httpx says that a Location is no address.
_BAD_LOCATION = "Invalid URL in location header"

_GZIP = b"\x1f\x8b"  # what each member of a gzip file begins with

# Names that never resolve, whatever a resolver says (RFC 6761).
_RESERVED = (".invalid", ".test", ".example")


@dataclass(frozen=True)
class Answer:
    """What a server said. `headers` in lower case; `body` decoded, empty unless it was wanted.

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
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class FetchFailed(Exception):
    """No answer that is worth keeping.

    reason: a word, then after a colon the details. unreachable: another time may be better.
    status: what the server answered, 0 where it is not the answer that failed.
    asked: how long the server wants to be left alone, where that is longer than anybody waits (seconds).
    """

    def __init__(
        self, reason: str, unreachable: bool, status: int = 0, asked: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unreachable = unreachable
        self.status = status
        self.asked = asked


@dataclass(frozen=True)
class _Wish:
    """What is wanted of a request: see `Fetcher.get`."""

    wanted: Callable[[Answer], bool]
    limit: int
    headers: Mapping[str, str]
    whole: bool


def too_large(limit: int) -> FetchFailed:
    """The failure of a body over the limit (bytes)."""
    return FetchFailed(f"too_large: over {limit} bytes", unreachable=False)


class Unpacked:
    """A body as it comes in, decompressed up to `limit` bytes and never further, bomb or not."""

    def __init__(self, encoding: str, limit: int, whole: bool = True) -> None:
        """whole: what is larger is an error; else it is cut off and `full` says so.

        Raises FetchFailed for an encoding that was not asked for.
        """
        self.encoding = encoding.strip().lower()
        self.limit = limit
        self.whole = whole
        self.full = False
        self.data = bytearray()
        self.rest = b""
        self.begun = False
        if self.encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise FetchFailed(f"bad_answer: encoding {self.encoding}", unreachable=False)
        self.unpacker = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # gzip or zlib, as it begins

    def feed(self, chunk: bytes) -> None:
        """Take a piece. Raises FetchFailed beyond the limit, zlib.error for what is not packed."""
        if self.encoding in ("", "identity"):
            self.data += chunk
        else:
            self._unpack(chunk)
        if len(self.data) > self.limit:
            if self.whole:
                raise too_large(self.limit)
            del self.data[self.limit :]
            self.full = True

    def finish(self) -> None:
        """The body has ended. Raises FetchFailed where what was packed goes on."""
        if self.begun and not self.unpacker.eof:
            raise FetchFailed("truncated: the packed body breaks off", unreachable=True)

    def _unpack(self, chunk: bytes) -> None:
        """Unpack a piece, one member of a gzip file after another (RFC 1952, 2.2)."""
        room = self.limit + 1
        chunk, self.rest = self.rest + chunk, b""
        while chunk and len(self.data) <= self.limit:
            if self.unpacker.eof:
                if len(chunk) < len(_GZIP) and _GZIP.startswith(chunk):
                    self.rest = chunk
                    return
                if not chunk.startswith(_GZIP):
                    return  # padding, which everybody passes over
                self.unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            try:
                self.data += self.unpacker.decompress(chunk, room)
            except zlib.error:
                if self.encoding != "deflate" or self.data:
                    raise
                # Some servers take "deflate" to mean the bare format, without zlib's header.
                self.unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
                self.data += self.unpacker.decompress(chunk, room)
            self.begun = True
            chunk = self.unpacker.unused_data


class Rerouted(httpx.AsyncBaseTransport):
    """Sends the requests for some host names to other addresses; the Host header stays."""

    def __init__(self, hosts: Mapping[str, str], connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self.hosts = hosts
        self.inner = httpx.AsyncHTTPTransport(http2=True, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = self.hosts.get(request.url.netloc.decode()) or self.hosts.get(request.url.host)
        if address is not None:
            name, _, port = address.rpartition(":")
            request.extensions = {**request.extensions, "sni_hostname": request.url.host}
            request.url = request.url.copy_with(host=name, port=int(port))
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Fetcher:
    """Fetches over HTTP. Use as `async with`; `requested` counts every request sent.

    login: headers that let the crawler in, kept from everybody but the hosts that they are for.
    """

    def __init__(
        self,
        user_agent: str,
        limits: Limits,
        hosts: Mapping[str, str],
        requested: Callable[[], None],
        login: Login = NO_LOGIN,
    ) -> None:
        self.limits = limits
        self.hosts = hosts
        self.requested = requested
        self.login = login
        self.slots = asyncio.Semaphore(limits.connections)
        self.client = httpx.AsyncClient(
            transport=Rerouted(hosts, limits.connections),
            timeout=httpx.Timeout(limits.timeout_seconds),
            headers={
                "User-Agent": user_agent,
                # What can be unpacked within bounds; brotli packs a gigabyte into some kilobytes.
                "Accept-Encoding": "gzip, deflate",
                "Accept": "text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.1",
            },
        )
        # Cookies would make an answer depend on which pages came before.
        self.client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def __aenter__(self) -> "Fetcher":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.aclose()

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
            except (httpx.TransportError, TimeoutError) as error:
                failure, asked = self._failure(url, error), None
                struggling = failure.unreachable
            except zlib.error as error:
                raise FetchFailed(f"bad_answer: {error}", unreachable=False) from error
            except (httpx.InvalidURL, UnicodeError) as error:
                # httpx makes the next request of each redirect, and stumbles over its host name.
                raise FetchFailed(NOWHERE, unreachable=False) from error
            # Once an address: one page that never works does not mean that the whole host is slow.
            if struggling and attempt == 0:
                pace.struggled()
            pause = self.limits.backoff_seconds * 2**attempt if asked is None else asked
            if not failure.unreachable:
                raise failure
            if pause > self.limits.max_wait_seconds:
                failure.asked = asked
                raise failure
            pace.wait(pause)
            if attempt >= self.limits.retries:
                raise failure
            attempt += 1

    async def is_private(self, url: str) -> bool:
        """Whether the address is on a network that is not everybody's (RFC 6890).

        No such host is told by a stranger where to fetch from. One that the machine is told of in
        `hosts` is none; nor is one that does not resolve.
        """
        parts = httpx.URL(url)
        if parts.netloc.decode() in self.hosts or parts.host in self.hosts:
            return False
        look_up = asyncio.get_running_loop().getaddrinfo
        try:
            found = await look_up(parts.host, parts.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return False
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        return not all(address.is_global for address in addresses)

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
        sent = {**wish.headers, **self.login.headers(url)}
        async with self.client.stream("GET", url, headers=sent) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            headers = self.login.clean_answer(headers)
            now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            request = self.login.without_secrets(response.request.headers)
            head = Answer(url, response.status_code, headers, b"", now, request)
            if not wish.wanted(head):
                return head
            if wish.whole and int(_digits(headers.get("content-length", ""))) > wish.limit:
                raise too_large(wish.limit)
            body = Unpacked(headers.get("content-encoding", ""), wish.limit, wish.whole)
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
        if isinstance(error, httpx.RemoteProtocolError) and str(error).startswith(_BAD_LOCATION):
            return FetchFailed(NOWHERE, unreachable=False)
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


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date), None without one."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())


def _digits(text: str) -> str:
    return text if text.isdecimal() else "0"
