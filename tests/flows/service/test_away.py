"""A run in flight whose `penstock ui` goes, whose database is busy, or whose worker is another's."""

import json
import signal
import sqlite3
from contextlib import closing

import httpx
import psutil
import pytest

from flows.service.access import auth_string
from flows.service.announce import announced
from tasks.engine.home import Home
from tests.flows.asking import Api
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


def test_a_database_that_stays_locked_is_waited_for(tokens: Home) -> None:
    more = ("--set", "pretrain.tokens=49_664")
    run = run_at_terminal(tokens, "--only", "pretrain", "--json", *more)
    trains(tokens)
    api = api_of(tokens, run.pid)
    assert api.status("flows/", {"name": "asked"}) == 201

    def is_refused() -> bool:
        """Whether the server has given up on a change of its own accord."""
        try:
            return api.status("flows/", {"name": "refused"}) == 503
        except httpx.ReadTimeout:
            return False

    with closing(sqlite3.connect(tokens.prefect / "prefect.db", timeout=600)) as database:
        database.isolation_level = None
        database.execute("BEGIN EXCLUSIVE")
        wait_for(is_refused)
        database.execute("ROLLBACK")
    out, said = run.communicate(timeout=1800)
    assert run.returncode == 0, said
    assert tokens.runs.load(json.loads(out)["run"]).outcome == "completed"


def api_of(home: Home, run: int) -> Api:
    """The API of the server that a run at a terminal uses."""
    address = announced(home)
    if address is None:
        server = child(run, "flows.service.app")
        assert server is not None
        connections = server.net_connections("tcp")
        [port] = {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
        address = f"http://127.0.0.1:{port}"
    user, _, password = auth_string(home).partition(":")
    return Api(address, (user, password))


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
