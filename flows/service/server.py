"""Prefect servers of this project: the one that `penstock ui` keeps, or one for a single run.

Both use the database in the project's home, so a run made without a server in sight shows up in
the UI later. A server is a guarded child: it goes when its parent goes, however that dies.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llm import durable
from tasks.home import PROJECT, Home

START_SECONDS = 120.0
SEND_SECONDS = 10.0


class ServerError(RuntimeError):
    """The server did not start; the message has the end of its log."""


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies (Linux only)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_up(address: str) -> bool:
    """Whether a Prefect server answers at an address such as http://127.0.0.1:4200."""
    import httpx  # takes a tenth of a second, and most commands ask no server

    try:
        return httpx.get(f"{address}/api/health", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


class Server:
    """A Prefect server as a child process."""

    def __init__(self, home: Home, port: int, *, with_ui: bool) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.log = home.folder / "logs" / "server.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "PREFECT_API_URL": f"{self.address}/api",
            "PREFECT_UI_URL": self.address,
            "PREFECT_SERVER_UI_ENABLED": "true" if with_ui else "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        }
        if not with_ui:
            # A server for one run schedules nothing and watches nothing.
            for service in (
                "SCHEDULER",
                "LATE_RUNS",
                "TRIGGERS",
                "FOREMAN",
                "CANCELLATION_CLEANUP",
                "PAUSE_EXPIRATIONS",
            ):
                environment[f"PREFECT_SERVER_SERVICES_{service}_ENABLED"] = "false"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "prefect",
                    "server",
                    "start",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(port),
                ]
                + ([] if with_ui else ["--no-ui"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=PROJECT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait(self) -> None:
        """Wait until it answers. Raises ServerError."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if is_up(self.address):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.stop()
        tail = self.log.read_text("utf8", "replace")[-2000:]
        raise ServerError(f"the Prefect server did not start; the end of {self.log}:\n{tail}")

    def stop(self) -> None:
        """End it and what it started."""
        stop_group(self.process, 10.0)


def stop_group(process: subprocess.Popen[bytes], seconds: float) -> None:
    """SIGTERM to a child's process group, SIGKILL to what is left after `seconds`."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _address_file(home: Home) -> Path:
    return home.folder / "server.json"


def announce(home: Home, address: str | None) -> None:
    """Tell other commands where the UI's server is; None: it is gone."""
    if address is None:
        _address_file(home).unlink(missing_ok=True)
    else:
        durable.write_json(_address_file(home), {"address": address, "pid": os.getpid()})


def announced(home: Home) -> str | None:
    """The address of the running server of `penstock ui`, if there is one."""
    try:
        address = str(json.loads(_address_file(home).read_text("utf8"))["address"])
    except (FileNotFoundError, ValueError):
        return None
    return address if is_up(address) else None


@contextmanager
def prefect_api(home: Home, meanwhile: Callable[[], None]) -> Iterator[str | None]:
    """Make an API available for a run: the user's own, the UI's, or a server started for it.

    meanwhile: what can be done while a server starts, which takes seconds: imports, validation.
    Yields the address where the run can be watched; None for a server that ends with the run.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        meanwhile()
        yield given.removesuffix("/api")
        return
    running = announced(home)
    server = None if running else Server(home, free_port(), with_ui=False)
    try:
        address = server.address if server is not None else running
        # Before Prefect is imported: it reads its settings once.
        os.environ["PREFECT_API_URL"] = f"{address}/api"
        meanwhile()
        if server is not None:
            server.wait()
        yield running
    finally:
        if server is not None:
            _send_what_is_left()
            server.stop()
        os.environ.pop("PREFECT_API_URL", None)


def _send_what_is_left() -> None:
    """Send the logs and events that Prefect still holds; without a server they would wait for it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=SEND_SECONDS)
