"""A server that does not start: the message names the limit, the setting, the log and what to do."""

import sys
from pathlib import Path

import httpx
import pytest

from flows.service.api import _lost_server_told
from flows.service.server import START_VARIABLE, Server, ServerError, listen, start_seconds
from llm.step import BadInput
from tasks.engine.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path / "home")
    monkeypatch.setenv("PREFECT_HOME", str(made.prefect))
    return made


def test_a_slow_start_names_its_limit_and_the_way_out(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(START_VARIABLE, "0.2")
    slow = Server(home, 0, with_ui=False)
    with pytest.raises(ServerError, match=r"within 0\.2 s") as told:
        slow.wait()
    for said in (START_VARIABLE, str(slow.log), "database", "nothing is lost"):
        assert said in str(told.value)
    assert slow.kept.process.poll() is not None, "it is not left behind"


def test_a_server_that_ends_is_not_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    ended = Server(home, 0, with_ui=False)
    with pytest.raises(ServerError, match=r"ended with code 1 before it answered.*server\.log"):
        ended.wait()


@pytest.mark.parametrize(("given", "seconds"), [("", 600.0), ("45", 45.0), ("1.5", 1.5)])
def test_the_limit_is_a_setting(
    given: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(START_VARIABLE, given)
    assert start_seconds() == seconds


@pytest.mark.parametrize("given", ["soon", "0", "-3", "inf", "nan"])
def test_a_wrong_limit_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(START_VARIABLE, given)
    with pytest.raises(BadInput, match=f"{START_VARIABLE}={given}: set it to a number of seconds"):
        start_seconds()


def test_a_port_that_is_taken_is_told_before_anything_starts(home: Home) -> None:
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port} cannot be used .*--port"):
            Server(home, port, with_ui=True)


def test_a_lost_server_is_told_in_one_line() -> None:
    with (
        pytest.raises(ServerError, match=r"4200 no longer answers .ConnectError.*run again"),
        _lost_server_told("http://127.0.0.1:4200"),
    ):
        raise httpx.ConnectError("All connection attempts failed")
