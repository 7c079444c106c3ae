"""Steps say of themselves what commands ask."""

import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm.runs import RunRecord, Runs, find_garbage
from llm.step import StepResult
from llm.store import Reference, Store
from tasks.engine.step import Call, Step
from tasks.stages import catalogue
from tasks.stages.wiring import WIRING


@pytest.fixture
def known() -> Iterator[None]:
    """The catalogue is read again, before and after."""
    catalogue.steps.cache_clear()
    yield
    catalogue.steps.cache_clear()


def test_every_step_of_every_stage_is_known() -> None:
    modules = {wiring.__module__ for wiring in WIRING.values()}
    assert len(modules) == len(WIRING)
    assert {"crawl", "extract", "write", "tokenizer", "tokenize", "pretrain", "promote"} <= set(
        catalogue.steps()
    )


def test_what_learned_from_text_is_a_model() -> None:
    """What trains and keeps weights cannot unlearn a text, be it named a baseline."""
    for name, step in catalogue.steps().items():
        assert not step.learns or step.holds == "model", name
    assert catalogue.holds("tokenizer") == catalogue.holds("train-baseline") == "model"


def test_a_step_that_nobody_knows_any_more_holds_figures() -> None:
    assert catalogue.holds("of-an-earlier-version") == "figures"
    assert catalogue.files_in("of-an-earlier-version") == ""


def test_a_new_step_is_known_by_its_names_and_one_that_disagrees_is_refused(
    known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.stages import examine

    new = Step("fetch", "llm.corpus.extract:extract", holds="pages", formerly=("download",))
    monkeypatch.setattr(examine, "FETCH", new, raising=False)
    assert catalogue.holds("download") == catalogue.holds("fetch") == "pages"
    catalogue.steps.cache_clear()
    other = Step("download", "llm.corpus.extract:extract", holds="rows")
    monkeypatch.setattr(examine, "OTHER", other, raising=False)
    with pytest.raises(ValueError, match="called download"):
        catalogue.steps()


@pytest.mark.parametrize("rewritten", [True, False])
def test_what_is_rewritten_later_keeps_what_it_was_made_of(tmp_path: Path, rewritten: bool) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)

    def made(step: Step, inputs: dict[str, list[Reference]]) -> Reference:
        call = Call(step, types.MappingProxyType({}), inputs)
        source = tmp_path / "made"
        source.mkdir()
        (source / "a.txt").write_text(step.name)
        result = StepResult()
        manifest = {**call.describe(), "content": None, "parts": {}, "counts": result.counts}
        return store.commit(source, {**manifest, "seconds": 1.0}, call.base).reference

    place = "llm.corpus.extract:extract"
    source = made(Step("read", place), {})
    last = made(Step("put", place, rewritten=rewritten), {"documents": [source]})
    record = RunRecord("r1", "demo", "s", {}, 1.0, outcome="completed")
    record.stages["clean"] = {"outputs": {"documents": {"all": last.to_json()}}, "steps": []}
    runs.save(record)
    gone = {one.name for one in find_garbage(store, runs, keep_runs=1).artifacts}
    assert gone == (set() if rewritten else {(source.step, source.key)})
