"""`penstock ui` with a run in flight: server, worker and trainer are killed, and the run completes."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from flows.service.access import auth_string, password_file
from tasks.engine.home import Home
from tests.flows.service.living import (
    SMALL,
    Service,
    child,
    paused,
    replaced,
    run_at_terminal,
    trainers,
    trains,
    wait_for,
)

pytestmark = pytest.mark.slow


def assert_password_is_hidden(home: Home, service: int, steps: list[int]) -> None:
    """Not in any command line, nor in the environment of a step's processes."""
    password = auth_string(home).partition(":")[2]
    family = [psutil.Process(service), *psutil.Process(service).children(recursive=True)]
    told = [word for process in family for word in process.cmdline()]
    told += [word for step in steps for word in psutil.Process(step).environ().values()]
    assert told and not [word for word in told if password in word]


def test_a_run_goes_on_though_server_worker_and_trainer_are_killed(
    tokens: Home, service: Service
) -> None:
    run = service.run(recipe="demo", overrides=[*SMALL], until="pretrain")
    trains(tokens)
    with paused(tokens) as first:
        assert_password_is_hidden(tokens, service.process.pid, first)
        replaced(service, "flows.service.app")
        assert service.state(run) == "RUNNING", "asked of the server that started again"
        replaced(service, "worker", "start")
        assert service.state(run) == "RUNNING"
        os.kill(first[0], signal.SIGKILL)
    wait_for(lambda: not {process.pid for process in trainers(tokens)} & set(first))
    with paused(tokens):
        service.stop()
        service.start()
        assert service.state(run) == "RUNNING"
    wait_for(lambda: service.state(run) not in ("RUNNING", "PENDING", "SCHEDULED"))
    assert service.state(run) == "COMPLETED", service.api.get(f"flow_runs/{run}")["state"]
    stages = tokens.runs.all()[0].stages
    ran = {s["name"] for stage in stages.values() for s in stage["steps"] if s["action"] == "run"}
    assert ran == {"pretrain"}, "finished steps were not redone"


def test_the_log_names_what_died(tokens: Home) -> None:
    said = Path(tokens.folder / "ui.log").read_text()
    assert "the Prefect server was ended by SIGKILL" in said
    assert "the worker was ended by SIGKILL" in said


def test_the_password_is_in_its_file_and_nowhere_else(tokens: Home) -> None:
    """Not in logs, Prefect's database, run records or artifacts."""
    password = auth_string(tokens).partition(":")[2].encode()
    files = [path for path in tokens.folder.rglob("*") if path.is_file()]
    assert tokens.prefect / "prefect.db" in files
    assert [path for path in files if password in path.read_bytes()] == [password_file(tokens)]


def test_a_run_starts_its_own_server_again_and_says_so_in_a_line(
    tokens: Home, service: Service
) -> None:
    service.stop()  # for good: this is the last test that has it
    shorter = ("--set", "pretrain.tokens=50_688")
    run = run_at_terminal(tokens, "--only", "pretrain", "--json", *shorter)
    trains(tokens)
    with paused(tokens):
        server = child(run.pid, "flows.service.app")
        assert server is not None
        server.send_signal(signal.SIGKILL)
        wait_for(lambda: (new := child(run.pid, "flows.service.app")) and new.pid != server.pid)
    out, said = run.communicate(timeout=1800)
    assert run.returncode == 0, said
    assert json.loads(out)["stages"]
    assert said.count("the Prefect server was ended by SIGKILL") == 1
    assert "Traceback" not in said and "Event(" not in said, said
