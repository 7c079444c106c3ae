"""Files on web servers: read as they come, gone on with after a broken connection, within limits."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

import httpx

from llm.corpus.archive.connections import Refused, Transfer
from llm.corpus.archive.remote_file import RemoteFile
from llm.corpus.archive.remote_settings import RemoteSettings
from llm.corpus.web.addresses import Gate, private_names
from llm.corpus.web.connect import Transport
from llm.corpus.web.login import Login


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

    def open(self, url: str, kept: Path) -> RemoteFile:
        """A file to read from, kept at `kept` as it comes in; what is there already is not asked for.

        Raises Refused and ConnectionError as soon as the server's first answer does.
        """
        return RemoteFile(Transfer(self, url), kept, self.values.max_bytes)


def _lead_to_one(response: httpx.Response) -> None:
    """Of several Location lines, which httpx would join, let the first one count."""
    found = response.headers.get_list("location")
    if len(found) > 1:
        response.headers["location"] = found[0]
