"""The one way to the network, for crawler and archive reader.

A host name is resolved once; its addresses are checked, and one of these is connected to. So neither a
redirect nor a name server leads anywhere private. TLS and the Host header keep to the name.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from llm.corpus.web.addresses import Gate
from llm.corpus.web.answers import Answers

LIBRARIES = ("httpcore", "h11")

_Options = Iterable[Any] | None
# Of several addresses each but the last gets so long, and no more (seconds).
_TRY_SECONDS = 3.0


class AsyncTransport(httpx.AsyncHTTPTransport):
    """httpx over connections that `gate` lets through."""

    def __init__(self, gate: Gate, connections: int) -> None:
        # Not httpx's own pool, which takes no network backend.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=5.0,
            http2=True,
            network_backend=AsyncConnector(gate),
        )


class Transport(httpx.HTTPTransport):
    """As AsyncTransport, for one request at a time."""

    def __init__(self, gate: Gate) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            keepalive_expiry=5.0,
            network_backend=Connector(gate),
        )


class AsyncConnector(httpcore.AsyncNetworkBackend):
    """Resolves, checks and connects. Raises PrivateAddress, and httpcore's ConnectError and ConnectTimeout."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore.AsyncNetworkStream:
        instead = self.gate.stand_in(host, port)
        if instead is not None:
            addresses, port = [instead[0]], instead[1]
        else:
            look_up = asyncio.get_running_loop().getaddrinfo
            try:
                found = await look_up(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                raise httpcore.ConnectError(str(error)) from error
            addresses = self.gate.checked(host, _addresses(found))
        for address, seconds in _tries(addresses, timeout):
            try:
                stream = await self.inner.connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
                return _AsyncStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Connector(httpcore.NetworkBackend):
    """As AsyncConnector, for one request at a time."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore.NetworkStream:
        instead = self.gate.stand_in(host, port)
        if instead is not None:
            addresses, port = [instead[0]], instead[1]
        else:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                raise httpcore.ConnectError(str(error)) from error
            addresses = self.gate.checked(host, _addresses(found))
        for address, seconds in _tries(addresses, timeout):
            try:
                stream = self.inner.connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
                return _Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")


class _AsyncStream(httpcore.AsyncNetworkStream):
    """A connection whose answers are mended, unless it speaks HTTP/2."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self.inner = inner
        self.answers = Answers()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            data = await self.inner.read(max_bytes, timeout)
            mended = self.answers.feed(data) if data else self.answers.end()
            if mended or not data:
                return mended

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.answers.asked()
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self.inner.start_tls(ssl_context, server_hostname, timeout)
        return stream if _speaks_http2(stream) else _AsyncStream(stream)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self.answers.spoiled:
            return True  # as httpcore calls a connection that is not to be used again
        return self.inner.get_extra_info(info)


class _Stream(httpcore.NetworkStream):
    """As _AsyncStream, for one request at a time."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self.inner = inner
        self.answers = Answers()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            data = self.inner.read(max_bytes, timeout)
            mended = self.answers.feed(data) if data else self.answers.end()
            if mended or not data:
                return mended

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.answers.asked()
        self.inner.write(buffer, timeout)

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self.inner.start_tls(ssl_context, server_hostname, timeout)
        return stream if _speaks_http2(stream) else _Stream(stream)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self.answers.spoiled:
            return True
        return self.inner.get_extra_info(info)


def _speaks_http2(stream: httpcore.AsyncNetworkStream | httpcore.NetworkStream) -> bool:
    tls = stream.get_extra_info("ssl_object")
    return tls is not None and tls.selected_alpn_protocol() == "h2"


def _addresses(found: Iterable[tuple[Any, ...]]) -> list[str]:
    return [str(entry[4][0]) for entry in found]


def _tries(addresses: list[str], timeout: float | None) -> Iterable[tuple[str, float | None]]:
    for address in addresses[:-1]:
        yield address, _TRY_SECONDS if timeout is None else min(timeout, _TRY_SECONDS)
    yield addresses[-1], timeout
