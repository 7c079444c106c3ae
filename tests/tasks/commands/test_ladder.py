"""A ladder on the real demo made small: rungs are ordinary pretrain steps, kept in the store."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from llm.fingerprint import plain
from llm.recipe import Recipe, load_machine, load_recipe
from llm.runs import RunRecord, find_garbage
from llm.step import BadInput, Reporter
from llm.training.pretrain.settings import PretrainSettings
from llm.training.scaling import ladder, trial
from llm.training.scaling.ladder import Rung, rungs
from llm.training.scaling.trial import Trial
from tasks.commands.ladder import LADDER, climb, foresee, tokens_of
from tasks.commands.local import LocalRun
from tasks.engine.home import PROJECT, Home
from tasks.engine.record import night_of, recorded
from tasks.engine.run import Options, carry_out_stage
from tasks.engine.verdict import differences
from tests.tasks.conftest import ran

Go = Callable[..., tuple]
TRIAL = Trial(
    start_seconds=1.0,
    step_seconds=0.01,
    part_rows=4,
    checkpoint_seconds=0.0,
    end_seconds=0.0,
    memory_bytes=None,
    device_bytes=None,
    steps=100,
    processes=2,
)


def climb_locally(
    home: Home, recipe: Recipe, seconds: float, report: Reporter | None = None
) -> RunRecord:
    """What the flow does, without Prefect."""
    day = night_of(home.runs, recipe, None, from_newest=True)
    with recorded(home.runs, recipe, day, tokens_of(home.runs, recipe)) as own:
        machine = load_machine(home.machine_file)
        run = LocalRun(LADDER, recipe, day, home.store, home.runs, machine, Options())
        run.report = report or Reporter()
        wiring = partial(climb, seconds=seconds, report=report or Reporter())
        carry_out_stage(run, wiring, own)
    return home.runs.load(own)


def let_one_do(put: Callable[[object, str, object], None]) -> None:
    """A law needs a single rung, of which trials say that it takes some three seconds."""
    put(ladder, "FEWEST", 0)
    put(ladder, "FEWEST_SIZES", 1)
    put(trial, "measure", lambda *_: TRIAL)


class Told(Reporter):
    """Keeps what is told of a plan."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.rows: list[Mapping[str, object]] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    def table(self, name: str, rows: Sequence[Mapping[str, object]], description: str = "") -> None:
        self.rows = list(rows)


def first_rungs(recipe: Recipe, count: int) -> list[Rung]:
    return list(islice(rungs(recipe.pretrain, recipe.tokenizer.vocabulary), count))


def as_overrides(recipe: Recipe, rung: Rung) -> list[str]:
    """What makes the recipe's own run the rung's."""
    changed = differences(plain(recipe.pretrain), plain(rung.settings))
    return [f"pretrain.{path}={json.dumps(value)}" for path, _, value in changed]


def contents(record: RunRecord, stage: str) -> list[str]:
    made = (record.outputs(stage) or {})["model"]
    return [reference.content for reference in made.values()]


def test_a_rung_is_the_recipe_s_own_run_and_is_made_once(
    home: Home, go: Go, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_one_do(monkeypatch.setattr)
    recipe = load_recipe("demo", small)
    first = climb_locally(home, recipe, seconds=4.0)
    [rung] = first_rungs(recipe, 1)
    assert ran(first) == {f"pretrain {rung.label}"}
    monkeypatch.setattr(trial, "measure", None)  # what is made tells how long it takes
    shutil.rmtree(home.folder / "trials")
    again = climb_locally(home, recipe, seconds=4.0)
    assert ran(again) == set()
    ran_directly, direct, _ = go(*as_overrides(recipe, rung), only="pretrain")
    assert ran_directly == set()
    assert contents(direct, "pretrain") == contents(first, LADDER) == contents(again, LADDER)
    garbage = {artifact.reference for artifact in find_garbage(home.store, home.runs).artifacts}
    assert not garbage.intersection(first.references())


def test_all_rungs_are_planned_by_two_trials_before_anything_is_trained(
    home: Home, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[PretrainSettings] = []

    def measure(values: PretrainSettings, *_: object) -> Trial:
        tried.append(values)
        return TRIAL

    monkeypatch.setattr(trial, "measure", measure)
    monkeypatch.setattr(LocalRun, "step", None)
    recipe = load_recipe("demo", small)
    told = Told()
    planned = foresee(home, recipe, 150.0, Options(), told)
    assert planned == first_rungs(recipe, len(planned)) and len(planned) > 6
    assert tried == [planned[0].settings, planned[5].settings]
    assert [row["tokens"] for row in told.rows] == [rung.settings.tokens for rung in planned]
    assert sum(float(str(row["seconds"])) for row in told.rows) <= 150.5
    assert f"{len(planned)} small runs are planned" in told.lines[-1]
    with pytest.raises(BadInput, match=r"nothing was trained.*give --budget \d"):
        climb_locally(home, recipe, seconds=5.0)
    assert len(tried) == 2


def test_tokens_of_another_recipe_are_refused(home: Home, small: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match=r"tokenizer\.vocabulary changed since"):
        tokens_of(home.runs, load_recipe("demo", [*small, "tokenizer.vocabulary=410"]))
    with pytest.raises(BadInput, match="no run of docs has made tokens yet"):
        tokens_of(home.runs, load_recipe("docs"))


@pytest.mark.slow
def test_a_killed_ladder_goes_on_and_a_longer_rung_is_what_it_is_alone(
    home: Home,
    go: Go,
    small: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_one_do(monkeypatch.setattr)
    shutil.copytree(home.folder, tmp_path / "pristine")
    recipe = load_recipe("demo", small)
    command = [sys.executable, __file__, str(home.folder), *small]
    killed = subprocess.run(command, env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"})
    assert killed.returncode == -signal.SIGKILL
    assert [record.outcome for record in home.runs.close_crashed()] == ["crashed"]
    first, second = first_rungs(recipe, 2)
    assert ran(climb_locally(home, recipe, seconds=4.0)) == {f"pretrain {first.label}"}
    assert second.shared_steps, "it goes on from the first one's trunk"
    _, shared, _ = go(*as_overrides(recipe, second), only="pretrain")
    shutil.rmtree(home.folder)
    shutil.copytree(tmp_path / "pristine", home.folder)
    _, alone, _ = go(*as_overrides(recipe, second), only="pretrain")
    assert contents(shared, "pretrain") == contents(alone, "pretrain")


if __name__ == "__main__":
    from tests.tasks.engine.killed import Killer

    let_one_do(setattr)
    climb_locally(Home(Path(sys.argv[1])), load_recipe("demo", sys.argv[2:]), 4.0, Killer())
