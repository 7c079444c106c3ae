"""The recipe as a run's record keeps it."""

import pytest

from llm.fingerprint import digest_values
from llm.recipe import Recipe, load_recipe
from llm.runs import RunRecord
from tasks.record import recipe_of

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
