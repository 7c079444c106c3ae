"""A cancelled run that no worker ends: asked, then killed, then marked."""

import datetime
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.states import State, StateType

from flows.service.watch import CANCEL_SECONDS, KILL_SECONDS, Cancellations
from tasks.engine.home import Home


class Prefect:
    """The two requests that it takes, and runs that are Cancelling since a time (Unix seconds)."""

    def __init__(self, since: dict[UUID, float]) -> None:
        self.since = since
        self.set: dict[UUID, State[Any]] = {}

    def read_flow_runs(self, flow_run_filter: Any) -> list[SimpleNamespace]:
        assert [kind.value for kind in flow_run_filter.state.type.any_] == ["CANCELLING"]
        found = []
        for run, since in self.since.items():
            at = datetime.datetime.fromtimestamp(since, datetime.UTC)
            state = State(type=StateType.CANCELLING, timestamp=at)
            found.append(SimpleNamespace(id=run, state=state))
        return found

    def set_flow_run_state(self, run: UUID, state: State[Any], force: bool) -> None:
        assert force
        self.set[run] = state
        del self.since[run]


class Signs:
    """Signs of a home, and the signals that their holders got."""

    def __init__(self, alive: set[str]) -> None:
        self.alive, self.sent = alive, list[tuple[str, int]]()

    def is_alive(self, name: str) -> bool:
        return name in self.alive

    def signal(self, name: str, number: int) -> bool:
        self.sent.append((name, number))
        return name in self.alive


@pytest.fixture
def watched(tmp_path: Path) -> SimpleNamespace:
    run = uuid4()
    signs, now = Signs({f"flow-{run}"}), SimpleNamespace(seconds=1e9)
    home: Any = SimpleNamespace(folder=tmp_path, runs=signs)
    assert hasattr(Home(tmp_path).runs, "signal") and hasattr(Home(tmp_path).runs, "is_alive")
    server = Prefect({run: now.seconds})
    looks = Cancellations(home, lambda: now.seconds)

    def after(seconds: float) -> None:
        now.seconds += seconds
        looks.look(server)  # type: ignore[arg-type]

    return SimpleNamespace(run=run, name=f"flow-{run}", signs=signs, server=server, after=after)


def test_a_worker_has_its_time_and_what_it_does_not_end_is_asked_once(
    watched: SimpleNamespace,
) -> None:
    watched.after(CANCEL_SECONDS - 1)
    assert not watched.signs.sent and not watched.server.set
    watched.after(1)
    watched.after(KILL_SECONDS - 1)
    assert watched.signs.sent == [(watched.name, signal.SIGTERM)]
    watched.signs.alive.clear()
    watched.after(0)
    assert watched.server.set[watched.run].is_cancelled()


def test_what_does_not_end_is_killed_and_then_told(watched: SimpleNamespace) -> None:
    watched.after(CANCEL_SECONDS)
    watched.after(KILL_SECONDS)
    assert [number for _, number in watched.signs.sent] == [signal.SIGTERM, signal.SIGKILL]
    assert not watched.server.set, "it is marked when it has ended"
    watched.signs.alive.clear()
    watched.after(0)
    assert watched.server.set[watched.run].is_cancelled()


def test_a_run_without_a_process_is_marked(watched: SimpleNamespace) -> None:
    watched.signs.alive.clear()
    watched.after(CANCEL_SECONDS)
    assert watched.server.set[watched.run].is_cancelled()
