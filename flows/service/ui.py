"""`penstock ui`: the Prefect server, a process worker and the deployments, until Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import NoReturn

from rich.console import Console

from flows.service.server import (
    Server,
    ServerError,
    announce,
    announced,
    die_with_parent,
    stop_group,
)
from llm.step import BadInput
from tasks.home import PROJECT, Home

POOL = "penstock"
WATCH_SECONDS = 15.0


def serve(home: Home, port: int, workers: int, console: Console) -> None:
    """Keep server and worker running; every quarter of a minute look for runs that died."""
    running = announced(home)
    if running:
        raise BadInput(f"the UI of this project is running already: {running}")
    signal.signal(signal.SIGTERM, _stop)
    server = Server(home, port, with_ui=True)
    worker = None
    try:
        console.print("starting the Prefect server (some 15 s) …", highlight=False)
        server.wait()
        environment = os.environ | {
            "PREFECT_API_URL": f"{server.address}/api",
            "PREFECT_WORKER_QUERY_SECONDS": "5",
        }
        os.environ["PREFECT_API_URL"] = environment["PREFECT_API_URL"]
        _prefect(environment, "work-pool", "create", POOL, "--type", "process", "--overwrite")
        _prefect(environment, "--no-prompt", "deploy", "--all")
        log = home.folder / "logs" / "worker.log"
        with log.open("ab") as stream:
            worker = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "prefect",
                    "worker",
                    "start",
                    "--pool",
                    POOL,
                    "--limit",
                    str(workers),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=environment,
                cwd=PROJECT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        announce(home, server.address)
        console.print(
            f"Penstock is at {server.address} (Ctrl-C stops it; logs in {log.parent})",
            highlight=False,
        )
        _watch(home, server, worker)
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        announce(home, None)
        if worker is not None:
            stop_group(worker, 10.0)
        server.stop()


def _watch(home: Home, server: Server, worker: subprocess.Popen[bytes]) -> NoReturn:
    from flows.service.watch import close_crashed

    while True:
        for process, name in ((server.process, "server"), (worker, "worker")):
            if process.poll() is not None:
                raise ServerError(
                    f"the {name} ended with code {process.returncode}; see {server.log.parent}"
                )
        close_crashed(home, with_api=True)
        time.sleep(WATCH_SECONDS)


def _prefect(environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ServerError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
