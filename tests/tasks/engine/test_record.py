"""The recipe as a run's record keeps it, and the record while it is begun."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from llm.fingerprint import digest_values
from llm.recipe import Recipe, load_recipe
from llm.runs import RunRecord, Runs
from llm.step import BadInput
from tasks.engine import record as module
from tasks.engine.record import begun, recipe_of

SETTINGS = [
    (),
    ("tokenizer.import=some.json",),
    ("crawl.sources.mine={type: files, path: mine.txt}",),
    ("clean.passages={unit: line}", "clean.filters.gopher_quality.min_words=30"),
]


@pytest.mark.parametrize("name", ["demo", "docs", "nightly"])
@pytest.mark.parametrize("overrides", SETTINGS)
def test_the_recipe_of_a_record_is_the_one_that_was_loaded(
    name: str, overrides: tuple[str, ...]
) -> None:
    loaded = load_recipe(name, overrides)
    record = RunRecord("id", loaded.name, "day", loaded.model_dump(mode="json"), 0.0)
    again = recipe_of(record)
    assert again == loaded
    for section in Recipe.model_fields:
        before, after = getattr(loaded, section), getattr(again, section)
        assert digest_values({"value": before}) == digest_values({"value": after}), section


def is_deleting(runs: Runs) -> bool:
    """Whether somebody could delete from the store now."""
    try:
        with runs.alone():
            return True
    except BadInput:
        return False


def test_nothing_is_deleted_between_the_look_for_what_is_taken_and_the_end_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, recipe = Runs(tmp_path), load_recipe("demo")
    could: list[bool] = []

    def take(runs: Runs, recipe: Recipe, stages: Sequence[str]) -> dict[str, module.Result]:
        could.append(is_deleting(runs))
        return {}

    monkeypatch.setattr(module, "take", take)
    assert is_deleting(runs)
    with begun(runs, recipe, ("clean",), "day"):
        could.append(is_deleting(runs))
    assert could == [False, False]
    assert is_deleting(runs)
