"""A ladder on the real demo made small: rungs are ordinary pretrain steps, kept in the store."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from llm.fingerprint import plain
from llm.recipe import Recipe, load_machine, load_recipe
from llm.runs import RunRecord, find_garbage
from llm.step import BadInput, Reporter
from llm.training.ladder import Rung, rungs
from tasks.home import PROJECT, Home
from tasks.ladder import LADDER, advise, check, climb, tokens_of
from tasks.local import LocalRun
from tasks.record import night_of, recorded
from tasks.run import Options, carry_out_stage
from tasks.verdict import differences
from tests.tasks.conftest import ran

Go = Callable[..., tuple]


def climb_locally(
    home: Home, recipe: Recipe, seconds: float, report: Reporter | None = None
) -> RunRecord:
    """What the flow does, without Prefect."""
    day = night_of(home.runs, recipe, None, from_newest=True)
    with recorded(home.runs, recipe, day, tokens_of(home.runs, recipe)) as own:
        machine = load_machine(home.machine_file)
        run = LocalRun(LADDER, recipe, day, home.store, home.runs, machine, Options())
        run.report = report or Reporter()
        carry_out_stage(run, partial(climb, seconds=seconds), own)
    return home.runs.load(own)


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
    home: Home, go: Go, small: tuple[str, ...]
) -> None:
    recipe = load_recipe("demo", small)
    check(home, recipe)
    first = climb_locally(home, recipe, seconds=0.1)  # the first is always made: it tells the speed
    [rung] = first_rungs(recipe, 1)
    assert ran(first) == {f"pretrain {rung.label}"}
    again = climb_locally(home, recipe, seconds=0.1)
    assert ran(again) == set()
    with pytest.raises(BadInput, match=r"after 1 small runs \(1 of 3 sizes\).*--budget"):
        advise(home, again.id, recipe, 600.0)
    ran_directly, direct, _ = go(*as_overrides(recipe, rung), only="pretrain")
    assert ran_directly == set()
    assert contents(direct, "pretrain") == contents(first, LADDER)
    garbage = {artifact.reference for artifact in find_garbage(home.store, home.runs).artifacts}
    assert not garbage.intersection(first.references())


def test_tokens_of_another_recipe_are_refused(home: Home, small: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match=r"tokenizer\.vocabulary changed since"):
        check(home, load_recipe("demo", [*small, "tokenizer.vocabulary=410"]))
    with pytest.raises(BadInput, match="no run of docs has made tokens yet"):
        check(home, load_recipe("docs"))


@pytest.mark.slow
def test_a_killed_ladder_goes_on_and_a_longer_rung_is_what_it_is_alone(
    home: Home, go: Go, small: tuple[str, ...], tmp_path: Path
) -> None:
    shutil.copytree(home.folder, tmp_path / "pristine")
    recipe = load_recipe("demo", small)
    command = [sys.executable, __file__, str(home.folder), *small]
    killed = subprocess.run(command, env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"})
    assert killed.returncode == -signal.SIGKILL
    assert [record.outcome for record in home.runs.close_crashed()] == ["crashed"]
    first, second = first_rungs(recipe, 2)
    assert ran(climb_locally(home, recipe, seconds=0.1)) == {f"pretrain {first.label}"}
    assert second.shared_steps, "it goes on from the first one's trunk"
    _, shared, _ = go(*as_overrides(recipe, second), only="pretrain")
    shutil.rmtree(home.folder)
    shutil.copytree(tmp_path / "pristine", home.folder)
    _, alone, _ = go(*as_overrides(recipe, second), only="pretrain")
    assert contents(shared, "pretrain") == contents(alone, "pretrain")


if __name__ == "__main__":
    from tests.tasks.killed import Killer

    climb_locally(Home(Path(sys.argv[1])), load_recipe("demo", sys.argv[2:]), 0.1, Killer())
