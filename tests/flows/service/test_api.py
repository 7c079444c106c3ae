"""Who takes the place of a UI that has gone, and when it gives way."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.service import api
from flows.service.announce import COMES, STANDS_IN, announced_as
from flows.service.api import AWAY_SECONDS, StandIn
from flows.service.server import listen
from tasks.engine.home import Home
from tests.flows.service.test_supervise import Clock


class FakeServer:
    """Has the port, and serves nothing."""

    def __init__(self, home: Home, port: int, **more: object) -> None:
        self.socket = listen(port)
        self.kept = self
        self.looks = 0

    def look(self) -> None:
        self.looks += 1

    def stop(self) -> None:
        self.socket.close()


class Stage:
    """A home, a clock, and a run that uses the UI's server."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        with listen(0) as free:
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.clock, self.said = Clock(), list[str]()
        self.place = StandIn(self.home, self.address, self.said.append, self.clock)

    def wait(self, seconds: float) -> bool:
        """Let time pass; whether it stands in then."""
        self.place.look()
        self.clock.now += seconds
        self.place.look()
        return self.place.server is not None


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(api, "Server", FakeServer)
    made = Stage(tmp_path)
    yield made
    made.place.stop()


def test_a_ui_that_is_there_keeps_its_place_and_one_that_starts_again_gets_the_time_for_it(
    stage: Stage,
) -> None:
    with announced_as(stage.home, stage.address):
        assert not stage.wait(10 * AWAY_SECONDS)
    assert not stage.wait(AWAY_SECONDS / 2)
    with announced_as(stage.home, stage.address):
        assert not stage.wait(10 * AWAY_SECONDS)
    assert not stage.wait(AWAY_SECONDS / 2) and not stage.said


def test_a_ui_that_stays_away_is_stood_in_for_until_the_next_one_comes(stage: Stage) -> None:
    assert stage.wait(AWAY_SECONDS)
    assert stage.home.runs.is_alive(STANDS_IN)
    assert stage.said == ["`penstock ui` has ended: a server of this run's own takes its place"]
    with stage.home.runs.alive(COMES):
        assert not stage.wait(10 * AWAY_SECONDS)
        assert not stage.home.runs.is_alive(STANDS_IN)
        listen(int(stage.address.rpartition(":")[2])).close()
    with announced_as(stage.home, stage.address):
        assert not stage.wait(10 * AWAY_SECONDS)


def test_a_ui_at_another_address_does_not_help_a_run(stage: Stage) -> None:
    with announced_as(stage.home, "http://127.0.0.1:9"):
        assert stage.wait(AWAY_SECONDS)


def test_of_two_runs_one_stands_in_and_the_other_after_it(stage: Stage) -> None:
    with ExitStack() as others:
        others.enter_context(listen(int(stage.address.rpartition(":")[2])))
        assert not stage.wait(AWAY_SECONDS)
    assert stage.wait(0)
