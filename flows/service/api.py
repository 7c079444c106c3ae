"""The Prefect API that a run uses: the user's own, the UI's, or a server started for the run."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from flows.service.access import client_settings, hide_password
from flows.service.announce import COMES, STANDS_IN, address_of_ui, announced
from flows.service.server import LOOK_SECONDS, Server, ServerError
from llm.step import BadInput
from tasks.engine.home import Home

SEND_SECONDS = 10.0
AWAY_SECONDS = 20.0
"""How long the UI may be away before a run stops waiting for the next one."""

Tell = Callable[[str], None]


@contextmanager
def prefect_api(
    home: Home, meanwhile: Callable[[], None], tell: Tell = lambda line: None
) -> Iterator[str | None]:
    """Make an API available for a run: the user's own, the UI's, or a server started for it.

    meanwhile: what can be done while a server starts, which takes seconds: imports, validation.
    tell: is given a line for people when a server is lost and another takes its place.
    Raises ServerError where the server no longer answers.
    Yields the address where the run can be watched; None for a server that ends with the run.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        meanwhile()
        hide_password()
        with _lost_server_told(given):
            yield given.removesuffix("/api")
        return
    running = announced(home)
    server = None if running else Server(home, 0, with_ui=False, tell=tell)
    address = str(running if server is None else server.address)
    try:
        # Before Prefect is imported: it reads its settings once.
        os.environ |= {**client_settings(home), "PREFECT_API_URL": f"{address}/api"}
        meanwhile()
        hide_password()
        if server is not None:
            server.wait()
            after = _looked_after(server.kept.look, server.stop)
        else:
            place = StandIn(home, address, tell)
            after = _looked_after(place.look, place.stop)
        with after, _lost_server_told(address):
            yield running
    finally:
        if server is not None:
            server.stop()
        for name in ("PREFECT_API_URL", *client_settings(home)):
            os.environ.pop(name, None)


class StandIn:
    """A server at the address of `penstock ui` while that is away; it gives way to the next one.

    At the same address, because Prefect's clients keep the one that they were given: to them the
    server has started again. It has the same database.
    """

    def __init__(
        self, home: Home, address: str, tell: Tell, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.home, self.address = home, address
        self.server: Server | None = None
        self._tell, self._clock = tell, clock
        self._away_since: float | None = None
        self._sign = ExitStack()

    def look(self) -> None:
        """Start or stop it as needed. Always from one thread: a child ends with its thread."""
        comes = self.home.runs.is_alive(COMES)
        if self.server is not None:
            if comes:
                self.stop()
            else:
                self.server.kept.look()
        elif comes or address_of_ui(self.home) == self.address:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = self._clock()
        elif self._clock() - self._away_since >= AWAY_SECONDS:
            self._start()

    def _start(self) -> None:
        port = int(self.address.rpartition(":")[2])
        # The port is taken: by another run that stands in, or by a UI that is about to be ready.
        with suppress(BadInput):
            self.server = Server(self.home, port, with_ui=False, tell=self._tell)
            self._sign.enter_context(self.home.runs.present(STANDS_IN))
            self._tell("`penstock ui` has ended: a server of this run's own takes its place")

    def stop(self) -> None:
        """End it, if it runs."""
        if self.server is not None:
            self.server.stop()
        self._sign.close()
        self.server = self._away_since = None


@contextmanager
def _looked_after(look: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Within it a thread of its own calls `look` again and again, and `end` when it is left."""
    done = threading.Event()

    def run() -> None:
        try:
            while not done.wait(LOOK_SECONDS):
                look()
        finally:
            end()

    # The kernel ends a server when the thread that started it ends, which this one does last.
    thread = threading.Thread(target=run, name="server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _send_what_is_left()
        done.set()
        thread.join()


@contextmanager
def _lost_server_told(address: str) -> Iterator[None]:
    """Turn what clients raise about a lost server into one line."""
    import httpx

    try:
        yield
    except httpx.TransportError as error:
        raise ServerError(
            f"the Prefect server at {address} no longer answers ({type(error).__name__}). "
            "What is finished is kept: run again to continue"
        ) from error


def _send_what_is_left() -> None:
    """Send the logs and events that Prefect still holds; without a server they would wait for it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=SEND_SECONDS)
