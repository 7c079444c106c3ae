"""`penstock ui`: the Prefect server, a process worker and the deployments, until Ctrl-C."""

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from functools import partial
from types import FrameType

from rich.console import Console

from flows.service.access import auth_string, client_settings, password_file
from flows.service.announce import announced, announced_as, coming
from flows.service.deployments import POOL, deploy
from flows.service.server import LOOK_SECONDS, STOP_SECONDS, Server
from flows.service.supervise import Kept, Process, die_with_parent
from llm.step import BadInput
from tasks.engine.home import PROJECT, Home

WATCH_SECONDS = 15.0


def run_ui(home: Home, port: int, workers: int, console: Console) -> None:
    """Keep server and worker running; every quarter of a minute look for runs that died."""
    running = announced(home)
    if running:
        raise BadInput(f"the UI of this project is running already: {running}")
    signal.signal(signal.SIGTERM, _stop)

    def tell(line: str) -> None:
        console.print(f"{line}; see {home.folder / 'logs'}", highlight=False, soft_wrap=True)

    with coming(home):
        server = Server(home, port, with_ui=True, tell=tell)
    worker = None
    try:
        console.print("starting the Prefect server (some 15 s) …", highlight=False)
        server.wait()
        os.environ |= {**client_settings(home), "PREFECT_API_URL": f"{server.address}/api"}
        for line in deploy(home, server.address):
            console.print(line, highlight=False)
        worker = Kept("worker", partial(_start_worker, home, workers), tell)
        with announced_as(home, server.address):
            _tell_address(home, server.address, console)
            threading.Thread(
                target=_watch, args=(home, server.address), name="watch", daemon=True
            ).start()
            while True:
                server.kept.look()
                worker.look()
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        if worker is not None:
            worker.stop(STOP_SECONDS)
        server.stop()


def _tell_address(home: Home, address: str, console: Console) -> None:
    """Tell where the page is and its password; the latter to a terminal only, not to a log."""
    said = [f"Penstock is at {address} (Ctrl-C stops it; logs in {home.folder / 'logs'})"]
    if console.is_terminal:
        password = auth_string(home)
        said += [f"Open it logged in: {address}/login-with#{password}"]
        said += [f"or type the password, both words and the colon: {password}"]
    said += [f"The password is kept in {password_file(home)}"]
    for line in said:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _start_worker(home: Home, workers: int) -> Process:
    command = ["worker", "start", "--pool", POOL, "--limit", str(workers)]
    with (home.folder / "logs" / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **client_settings(home), "PREFECT_WORKER_QUERY_SECONDS": "5"},
            cwd=PROJECT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def _watch(home: Home, address: str) -> None:
    """Look for runs that died, for ever. What goes wrong once is tried again at the next look."""
    from prefect.client.orchestration import get_client

    from flows.service.tell import tell_untold
    from flows.service.watch import Cancellations, close_crashed

    cancellations = Cancellations(home)
    log = home.folder / "logs" / "watch.log"
    while True:
        time.sleep(WATCH_SECONDS)
        try:
            with get_client(sync_client=True) as client:
                cancellations.look(client)
            close_crashed(home, with_api=True)
            tell_untold(home, address)
        except Exception:
            # A busy database, a server that starts again: the service outlives them.
            with log.open("a") as stream:
                stream.write(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC\n")
                traceback.print_exc(file=stream)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
