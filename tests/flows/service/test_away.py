"""A run in flight whose `penstock ui` goes, whose database is busy, or whose worker is another's."""

import json
import signal
import sqlite3
from contextlib import closing

import httpx
import pytest

from tasks.home import Home
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


def test_a_run_goes_on_without_the_ui_and_gives_way_to_the_next_one(
    tokens: Home, service: Service
) -> None:
    more = ("--set", "pretrain.tokens=50_176")
    run = run_at_terminal(tokens, "--only", "pretrain", "--json", *more)
    trains(tokens)
    with paused(tokens):
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        wait_for(lambda: child(run.pid, "flows.service.app"))
        service.start()
        assert child(run.pid, "flows.service.app") is None
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        wait_for(lambda: child(run.pid, "flows.service.app"))
    out, said = run.communicate(timeout=1800)
    assert run.returncode == 0, said
    summary = json.loads(out)
    assert summary["stages"]
    assert said.count("`penstock ui` has ended: a server of this run's own takes its place") == 2
    assert "Traceback" not in said, said
    service.start()
    flow_run = tokens.runs.load(summary["run"]).flow_run_id
    assert flow_run is not None
    assert service.state(flow_run) == "COMPLETED", "the database has it all"


def test_a_database_that_stays_locked_is_waited_for(tokens: Home, service: Service) -> None:
    overrides = [*SMALL, "pretrain.tokens=49_664"]
    run = service.run(recipe="demo", overrides=overrides, until="pretrain")
    trains(tokens)

    def is_refused() -> bool:
        """Whether the server has given up on a change of its own accord."""
        try:
            return service.api.status("flows/", {"name": "asked"}) == 503
        except httpx.ReadTimeout:
            return False

    with closing(sqlite3.connect(tokens.prefect / "prefect.db", timeout=600)) as database:
        database.isolation_level = None
        database.execute("BEGIN EXCLUSIVE")
        wait_for(is_refused)
        database.execute("ROLLBACK")
    wait_for(lambda: service.state(run) not in ("RUNNING", "PENDING", "SCHEDULED"))
    assert service.state(run) == "COMPLETED", service.api.get(f"flow_runs/{run}")["state"]


def test_a_run_is_cancelled_though_its_worker_is_another(tokens: Home, service: Service) -> None:
    overrides = [*SMALL, "pretrain.tokens=5_000_000"]
    run = service.run(recipe="demo", overrides=overrides, until="pretrain")
    trains(tokens)
    replaced(service, "worker", "start")
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    service.api.post(f"flow_runs/{run}/set_state", state)
    wait_for(lambda: service.state(run) in ("CANCELLED", "CRASHED"))
    wait_for(lambda: not trainers(tokens))
    assert tokens.runs.all()[0].outcome in ("cancelled", "crashed")
