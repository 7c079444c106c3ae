"""`penstock accept` tells what it would accept and ends with 1 where something is refused."""

import io
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from flows.cli.accept import _print
from tasks.commands.accept import Accepted
from tasks.engine.home import PROJECT
from tests.waiting import PATIENCE


def penstock(home: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env={"PENSTOCK_HOME": str(home), "PATH": "", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout, done.stderr


def test_what_was_never_made_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    code, said, _ = penstock(tmp_path, "accept", "all", "--yes", "--json")
    told = json.loads(said)
    assert code == 1 and told["written"] is False
    outcomes = {one["call"]: one["outcome"] for one in told["calls"]}
    assert outcomes["crawl docs"] == "not made" and outcomes["pretrain"] == "unknown"
    assert not list((tmp_path / "runs").glob("*.json"))


def test_a_wrong_stage_is_named(tmp_path: Path) -> None:
    code, _, said = penstock(tmp_path, "accept", "pretraining")
    assert code == 2 and "pretraining" in said and "pretrain" in said


def test_many_modules_are_counted_and_values_that_moved_are_named() -> None:
    modules = tuple(f"llm/training/part_{number}.py edited" for number in range(9))
    why = ("peak_lr is schedule.peak_lr now", *modules)
    stream = io.StringIO()
    found = [Accepted("pretrain", "pretrain", "accepted", why, "k", 10, 31_560.0)]
    _print(Console(file=stream, width=400), found)
    said = stream.getvalue()
    assert "peak_lr is schedule.peak_lr now" in said
    assert "part_3.py" in said and "part_4.py" not in said and "5 more modules" in said
    assert "8 h 46 min" in said
