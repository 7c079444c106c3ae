"""A real `penstock ui` and its parts, for tests that kill them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from flows.service.access import auth_string
from flows.service.announce import announced
from tasks.engine.home import PROJECT, Home
from tests import waiting
from tests.flows.asking import Api
from tests.small import DEMO
from tests.waiting import PATIENCE

COMMAND = [sys.executable, "-m", "flows.cli"]

SMALL = (*DEMO, "pretrain.tokens=51_200", "pretrain.checkpoint_every=5")


def wait_for(condition: Callable[[], Any]) -> Any:
    """Look twice a second, as processes and a server are asked."""
    return waiting.wait_for(condition, 0.5)


def child(parent: int, *words: str) -> psutil.Process | None:
    """A process that another one started and whose command line has all these words."""
    for process in psutil.Process(parent).children():
        with suppress(psutil.Error):
            if set(words) <= set(process.cmdline()):
                return process
    return None


class Service:
    """`penstock ui` and what can be asked of it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.start()

    def start(self) -> None:
        names = {"PENSTOCK_HOME": str(self.home.folder), "OMP_NUM_THREADS": "1"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
        port = str(getattr(self, "port", 0))
        self.process = subprocess.Popen(
            [*COMMAND, "ui", "--port", port],
            env=kept | names,
            cwd=PROJECT,
            stderr=(self.home.folder / "ui.log").open("ab"),
        )
        address = wait_for(lambda: announced(self.home) or self.process.poll() is not None)
        assert isinstance(address, str), f"it ended with code {self.process.returncode}"
        self.port = int(address.rpartition(":")[2])
        user, _, password = auth_string(self.home).partition(":")
        self.api = Api(address, (user, password))

    def run(self, **parameters: Any) -> str:
        deployment = self.api.get("deployments/name/pipeline/once")["id"]
        body = {"parameters": parameters}
        return self.api.post(f"deployments/{deployment}/create_flow_run", body)["id"]

    def state(self, run: str) -> str:
        return self.api.get(f"flow_runs/{run}")["state_type"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


def newest_checkpoint(home: Home) -> float:
    found = (home.folder / "store" / "work" / "pretrain").glob("*/work/checkpoints/*")
    return max((path.stat().st_mtime for path in found), default=0.0)


def trains(home: Home) -> None:
    """Wait until training writes checkpoints (again)."""
    now = time.time()
    wait_for(lambda: newest_checkpoint(home) > now)


def trainers(home: Home) -> list[psutil.Process]:
    """Processes that train in a home."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "llm.training.ranks.agent" in words and any(str(home.folder) in word for word in words):
            found.append(process)
    return found


@contextmanager
def paused(home: Home) -> Iterator[list[int]]:
    """Within it the trainers stand still, so that training does not end first. Yields their ids."""
    stopped = wait_for(lambda: trainers(home))
    for process in stopped:
        process.suspend()
    try:
        yield [process.pid for process in stopped]
    finally:
        for process in stopped:
            with suppress(psutil.Error):
                process.resume()


def replaced(service: Service, *words: str) -> None:
    """Kill a child of `penstock ui` and wait for the next one."""
    killed = child(service.process.pid, *words)
    assert killed is not None
    killed.send_signal(signal.SIGKILL)
    old = killed.pid
    wait_for(lambda: (new := child(service.process.pid, *words)) and new.pid != old)


def run_at_terminal(home: Home, *arguments: str) -> "subprocess.Popen[str]":
    """`penstock run` of the small demo in a home, with whatever server it finds."""
    names = {"PENSTOCK_HOME": str(home.folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    overrides = [word for item in SMALL for word in ("--set", item)]
    return subprocess.Popen(
        [*COMMAND, "run", "demo", *overrides, *arguments],
        env=kept | names,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
