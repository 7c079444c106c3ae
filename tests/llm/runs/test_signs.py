"""A signal reaches the process that holds a sign, and no other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llm.runs import Runs
from llm.step import BadInput
from tests.waiting import PATIENCE

HOLDS = """
import sys, time
from pathlib import Path
from llm.runs import Runs

with Runs(Path(sys.argv[1])).alive("r1"):
    print("alive", flush=True)
    time.sleep(600)
"""


def holder(home: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "alive\n"
    return process


def test_a_signal_reaches_the_holder(tmp_path: Path) -> None:
    process = holder(tmp_path)
    assert Runs(tmp_path).signal("r1", signal.SIGTERM)
    assert process.wait(PATIENCE) == -signal.SIGTERM
    assert not Runs(tmp_path).signal("r1", signal.SIGTERM), "its sign is left, nobody holds it"
    assert not Runs(tmp_path).signal("r2", signal.SIGTERM)


def test_a_process_that_got_the_id_of_a_dead_holder_is_left_alone(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.wait()
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        (tmp_path / "alive" / "r1").write_text(str(other.pid))
        assert not Runs(tmp_path).signal("r1", signal.SIGKILL)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_sign_of_an_earlier_version_names_no_process(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        os.truncate(tmp_path / "alive" / "r1", 0)
        assert not Runs(tmp_path).signal("r1", signal.SIGKILL)
        assert Runs(tmp_path).is_alive("r1") and process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_what_is_only_there_keeps_nobody_from_deleting(tmp_path: Path) -> None:
    """The UI runs for weeks, and garbage is collected all the same."""
    runs = Runs(tmp_path)
    with runs.present("ui"):
        assert runs.is_alive("ui")
        with runs.alone():
            pass
    assert not runs.is_alive("ui")
    with runs.alive("r1"), pytest.raises(BadInput, match="in progress"), runs.alone():
        pass
