"""Prefect servers of this project: the one that `penstock ui` keeps, or one for a single run.

Both use the database in the project's home, so a run made without a server in sight shows up in
the UI later. A server is a guarded child: it goes when its parent goes, however that dies.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from flows.service.access import auth_string, server_settings
from flows.service.supervise import Kept, Process, die_with_parent
from llm.step import BadInput
from tasks.engine.home import PROJECT, Home

START_SECONDS = 600.0
START_VARIABLE = "PENSTOCK_SERVER_START_SECONDS"
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.5


class ServerError(RuntimeError):
    """The server did not start; the message has the end of its log."""


def listen(port: int) -> socket.socket:
    """A socket that listens on a port of the loopback interface; 0: on a free one.

    Raises BadInput where the port is taken.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise BadInput(
            f"port {port} cannot be used ({error.strerror}): stop what listens there, or choose "
            "another with --port"
        ) from None
    listening.listen(1024)
    return listening


def start_seconds() -> float:
    """How long a server may take to start (seconds). Raises BadInput for what is not such a number."""
    given = os.environ.get(START_VARIABLE, "")
    try:
        seconds = float(given) if given else START_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise BadInput(f"{START_VARIABLE}={given}: set it to a number of seconds above 0")
    return seconds


class Server:
    """A Prefect server as a child process; `kept.look()` starts it again when it has died.

    The socket is this process's, so that nobody else takes the port while the server restarts, and
    who asks meanwhile waits for an answer.
    """

    def __init__(
        self,
        home: Home,
        port: int,
        *,
        with_ui: bool,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.socket = listen(port)
        port = int(self.socket.getsockname()[1])
        self.address = f"http://127.0.0.1:{port}"
        user, _, password = auth_string(home).partition(":")
        self.login = (user, password)
        self.log = home.folder / "logs" / "server.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._environment = os.environ | {
            **server_settings(home, port),
            "PREFECT_API_URL": f"{self.address}/api",
            "PREFECT_UI_URL": self.address,
            "PREFECT_SERVER_UI_ENABLED": "true" if with_ui else "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            # In memory, as by default, a restart would end every deployment's run in flight.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
                "prefect.server.concurrency.lease_storage.filesystem"
            ),
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
                self._environment[f"PREFECT_SERVER_SERVICES_{service}_ENABLED"] = "false"
        self.kept = Kept("Prefect server", self._start, tell)

    def _start(self) -> Process:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.service.app", str(self.socket.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=PROJECT,
                start_new_session=True,
                pass_fds=[self.socket.fileno()],
                preexec_fn=die_with_parent,
            )

    def wait(self) -> None:
        """Wait until it answers, as long as it lives. Raises ServerError."""
        limit = start_seconds()
        deadline = time.monotonic() + limit
        process = self.kept.process
        while process.poll() is None:
            if is_up(self.address):
                return
            if time.monotonic() > deadline:
                self.stop()
                raise ServerError(
                    f"the Prefect server did not answer within {limit:g} s (the limit that "
                    f"{START_VARIABLE} sets). A new home's first start sets up a database, which takes "
                    "minutes on a busy machine: raise the limit, or try again when there is less to "
                    f"do; nothing is lost. Its log: {self.log}{self._said()}"
                )
            time.sleep(0.2)
        self.stop()
        raise ServerError(
            f"the Prefect server ended with code {process.returncode} before it answered. "
            f"Its log: {self.log}{self._said()}"
        )

    def _said(self) -> str:
        """The end of what this server logged, for a message."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            said = log.read().decode("utf8", "replace").strip()[-2000:]
        return f", which ends:\n{said}" if said else " (empty)"

    def stop(self) -> None:
        """End it and what it started."""
        self.kept.stop(STOP_SECONDS)
        self.socket.close()


def is_up(address: str, seconds: float = 2.0) -> bool:
    """Whether a Prefect server answers at an address such as http://127.0.0.1:4200 in time."""
    import httpx  # takes a tenth of a second, and most commands ask no server

    try:
        return httpx.get(f"{address}/api/health", timeout=seconds).status_code == 200
    except httpx.HTTPError:
        return False
