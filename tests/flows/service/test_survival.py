"""`penstock ui` with a run in flight: server, worker and trainer are killed, and the run completes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.service.access import auth_string
from llm.step import Reporter
from tasks.home import PROJECT, Home
from tasks.local import run_locally
from tests.flows.asking import Api

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "flows.cli"]

SMALL = (
    "crawl.sources.docs.max_pages=30",
    "tokenizer.vocabulary=400",
    "tokenize.validation.fraction=0.3",
    "pretrain.model.layers=1",
    "pretrain.model.d_model=32",
    "pretrain.model.context_length=64",
    "pretrain.batch_tokens=512",
    "pretrain.tokens=51_200",
    "pretrain.checkpoint_every=5",
    "finetune=[]",
)


def wait_for(condition: Callable[[], Any], seconds: float = 1800.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError("it did not happen in time")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which a small demo has run up to its tokens."""
    made = Home(tmp_path_factory.mktemp("home"))
    run_locally(made, "demo", SMALL, until="tokenize", report=Reporter())
    return made


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
        told = self.home.folder / "server.json"
        wait_for(lambda: told.exists() or self.process.poll() is not None)
        address = json.loads(told.read_text())["address"]
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
        self.process.wait(120)


@pytest.fixture
def service(home: Home) -> Iterator[Service]:
    started = Service(home)
    try:
        yield started
    finally:
        started.stop()


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
        if "llm.training.agent" in words and any(str(home.folder) in word for word in words):
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


def test_a_run_goes_on_though_server_worker_and_trainer_are_killed(
    home: Home, service: Service
) -> None:
    run = service.run(recipe="demo", overrides=[*SMALL], until="pretrain")
    trains(home)
    with paused(home) as first:
        replaced(service, "flows.service.app")
        assert service.state(run) == "RUNNING", "asked of the server that started again"
        replaced(service, "worker", "start")
        assert service.state(run) == "RUNNING"
        os.kill(first[0], signal.SIGKILL)
    wait_for(lambda: not {process.pid for process in trainers(home)} & set(first))
    with paused(home):
        service.stop()
        service.start()
        assert service.state(run) == "RUNNING"
    wait_for(lambda: service.state(run) not in ("RUNNING", "PENDING", "SCHEDULED"))
    assert service.state(run) == "COMPLETED", service.api.get(f"flow_runs/{run}")["state"]
    stages = home.runs.all()[0].stages
    ran = {s["name"] for stage in stages.values() for s in stage["steps"] if s["action"] == "run"}
    assert ran == {"pretrain"}, "finished steps were not redone"


def test_the_log_names_what_died(home: Home) -> None:
    said = Path(home.folder / "ui.log").read_text()
    assert "the Prefect server was ended by SIGKILL" in said
    assert "the worker was ended by SIGKILL" in said


def test_a_run_starts_its_own_server_again_and_says_so_in_a_line(home: Home) -> None:
    names = {"PENSTOCK_HOME": str(home.folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    overrides = [word for item in SMALL for word in ("--set", item)]
    shorter = ["--set", "pretrain.tokens=50_688"]
    run = subprocess.Popen(
        [*COMMAND, "run", "demo", "--only", "pretrain", "--json", *overrides, *shorter],
        env=kept | names,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    trains(home)
    with paused(home):
        server = child(run.pid, "flows.service.app")
        assert server is not None
        server.send_signal(signal.SIGKILL)
        wait_for(lambda: (new := child(run.pid, "flows.service.app")) and new.pid != server.pid)
    out, said = run.communicate(timeout=1800)
    assert run.returncode == 0, said
    assert json.loads(out)["stages"]
    assert said.count("the Prefect server was ended by SIGKILL") == 1
    assert "Traceback" not in said and "Event(" not in said, said
