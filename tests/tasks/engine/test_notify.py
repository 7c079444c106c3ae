"""A run that fails, or whose process dies, is told to the user's own program."""

import json
import stat
from pathlib import Path

import pytest

from llm.recipe import load_recipe
from llm.runs import RunRecord
from tasks.engine import notify
from tasks.engine.home import Home
from tasks.engine.record import recorded


def program(home: Path, script: str) -> None:
    home.mkdir(exist_ok=True)
    path = home / notify.PROGRAM
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose program keeps what it is told."""
    program(tmp_path / "home", 'cat > told.json; echo "$PENSTOCK_OUTCOME $PENSTOCK_RECIPE" > told')
    return Home(tmp_path / "home")


def test_a_failed_run_is_told_with_its_reason(home: Home) -> None:
    recipe = load_recipe("demo", [])
    with pytest.raises(ValueError, match="no pages"), recorded(home.runs, recipe, "day", {}) as run:
        raise ValueError("no pages")
    assert json.loads((home.folder / "told.json").read_text()) == {
        "run": run,
        "recipe": "demo",
        "snapshot": "day",
        "outcome": "failed",
        "message": "ValueError: no pages",
    }
    assert (home.folder / "told").read_text() == "failed demo\n"


def test_what_completes_or_is_cancelled_is_not_told(home: Home) -> None:
    recipe = load_recipe("demo", [])
    with recorded(home.runs, recipe, "day", {}):
        pass
    with pytest.raises(KeyboardInterrupt), recorded(home.runs, recipe, "day", {}):
        raise KeyboardInterrupt
    assert not (home.folder / "told").exists()


def test_a_recipe_that_is_refused_before_there_is_a_record_is_told(home: Home) -> None:
    with (
        pytest.raises(ValueError, match="no field"),
        notify.refusal_told(home.folder, "f1", "nightly"),
    ):
        raise ValueError("no field pretrain.token")
    told = json.loads((home.folder / "told.json").read_text())
    assert told["run"] == "f1" and told["message"] == "ValueError: no field pretrain.token"


def test_a_run_whose_process_died_is_told_once(home: Home) -> None:
    home.runs.save(RunRecord("r1", "demo", "day", {}, 1.0))
    assert [record.id for record in notify.close_crashed(home)] == ["r1"]
    assert (home.folder / "told").read_text() == "crashed demo\n"
    (home.folder / "told").unlink()
    assert notify.close_crashed(home) == []
    assert not (home.folder / "told").exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo no mail; exit 7", "ended with status 7"), ("sleep 60", "could not be run")],
)
def test_what_is_wrong_with_the_program_is_in_its_log_and_changes_nothing(
    script: str, said: str, tmp_path: Path
) -> None:
    program(tmp_path, script)
    record = RunRecord("r1", "demo", "day", {}, 1.0, outcome="failed", message="bad\0news")
    notify.tell_failure(tmp_path, record, seconds=1 if "sleep" in script else 60)
    log = (tmp_path / "logs" / notify.LOG).read_text()
    assert "r1 failed" in log and said in log


def test_a_file_that_cannot_be_run_is_noted(tmp_path: Path) -> None:
    (tmp_path / notify.PROGRAM).write_text("echo hello\n")
    record = RunRecord("r1", "demo", "day", {}, 1.0, outcome="failed")
    assert not notify.tell_failure(tmp_path, record)
    assert "could not be run" in (tmp_path / "logs" / notify.LOG).read_text()
