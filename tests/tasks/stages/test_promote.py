"""The champion pointer names what was promoted, all of it, and nobody is told otherwise."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm.evaluation.evaluate import EvaluateSettings
from llm.evaluation.promote_settings import PromoteSettings
from llm.runs import RunRecord, Runs
from llm.step import BadInput
from llm.store import Reference, Store
from llm.training.finetune.instruct import InstructSettings
from llm.training.pretrain.settings import PretrainSettings
from tasks.commands.models import find_model, models_of
from tasks.engine.home import Home
from tasks.engine.step import Call
from tasks.stages.promote import TRIES, promote, tuned_models

TASKS = ("ask-docs", "french")
BASE_METRIC = "perplexity.base.bits_per_byte"


def put(store: Store, folder: Path, step: str, key: str, **files: str) -> Reference:
    source = folder / f"{step}-{key}"
    for name, text in {"made": key, **files}.items():
        path = source / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    manifest = {"step": step, "key": key, "content": None, "parts": {}}
    return store.commit(source, manifest, f"{step}{key}").reference


class Promoting:
    """A run that finds any model better than any other; others may move the pointer meanwhile."""

    def __init__(self, folder: Path, moves: int = 0, metric: str = BASE_METRIC) -> None:
        self.home = Home(folder / "home")
        self.store, self.runs, self.folder, self.moves = (
            self.home.store,
            self.home.runs,
            folder,
            moves,
        )
        self.snapshot = "2026-01-01"
        self.recipe: Any = SimpleNamespace(
            name="mine",
            promote=PromoteSettings(metric=metric),
            pretrain=PretrainSettings(),
            evaluate=EvaluateSettings(),
            finetune=[InstructSettings(name=name, data="x") for name in ("zebra", *TASKS)],
            tokenize=SimpleNamespace(validation=SimpleNamespace(fraction=0.1)),
        )
        self.decided = 0
        self.taken: list[str] = []
        self.beside: list[tuple[str, str]] = []

    def model(self, step: str, key: str) -> Reference:
        return put(self.store, self.folder, step, key, **{"model__config.json": "{}"})

    def stages(self, base: str, *tuned: str) -> Any:
        return {
            "pretrain": {"model": {"base": self.model("pretrain", base)}},
            "finetune": {
                "model": {one: self.model("finetune", f"{base}{one}") for one in tuned},
                "data": {one: Reference("questions", one, one) for one in tuned},
            },
            "evaluate": {
                suite: {name: Reference(suite, f"{base}{name}", base) for name in ("base", *tuned)}
                for suite in ("perplexity", "answers")
            },
            "clean": {"documents": {}},
        }

    def step(self, call: Call) -> Reference:
        if call.label == "champion":
            self.beside.append((call.step.name, call.inputs["model"][0].key))
            return Reference(call.step.name, "champion", "measured")
        self.decided += 1
        if self.decided <= self.moves:
            now = self.runs.pointer("champion-mine")
            other = {"base": {"content": f"other {self.decided}", "step": "pretrain", "key": "o"}}
            assert self.runs.move_pointer("champion-mine", now, {**other, "references": []})
        text = json.dumps({"candidate": 1.0})
        return put(
            self.store, self.folder, "promote", f"d{self.decided}", **{"decision.json": text}
        )

    def counts(self, reference: Reference) -> dict[str, int]:
        return {"promoted": 1}

    def take(self, name: str, reference: Reference, summary: str) -> None:
        self.taken.append(summary)

    def move_pointer(self, name: str, expected: Any, new: Any) -> bool:
        return self.runs.move_pointer(name, expected, new)


def champion(run: Promoting) -> dict[str, Any]:
    found = run.runs.pointer("champion-mine")
    assert found is not None
    return found


@pytest.mark.parametrize("moves", [1, 3, TRIES - 1])
def test_a_champion_that_moves_meanwhile_is_compared_with_and_replaced(
    tmp_path: Path, moves: int
) -> None:
    run = Promoting(tmp_path, moves)
    outputs = promote(run, run.stages("b"))  # type: ignore[arg-type]
    assert champion(run)["base"]["key"] == "b"
    assert champion(run)["decision"] == outputs["decision"]["all"].to_json()
    assert run.decided == moves + 1


def test_a_model_that_could_not_be_promoted_is_never_called_so(tmp_path: Path) -> None:
    run = Promoting(tmp_path, moves=10**6)
    with pytest.raises(BadInput, match=r"not promoted: the champion of mine changed"):
        promote(run, run.stages("b"))  # type: ignore[arg-type]
    assert champion(run)["base"]["key"] == "o"


def test_every_tuned_model_is_named_and_found(tmp_path: Path) -> None:
    run = Promoting(tmp_path)
    stages = run.stages("b", "zebra", "ask-docs")
    promote(run, stages)  # type: ignore[arg-type]
    assert [name for name, _ in tuned_models(champion(run))] == ["zebra", "ask-docs"]
    held = [Reference.from_json(one) for one in champion(run)["references"]]
    assert {*stages["finetune"]["model"].values()} <= {*held}
    _record(run, stages)
    for name, model in stages["finetune"]["model"].items():
        folder, _ = find_model(run.home, "tuned", name, "mine")
        assert folder.parent == run.store.local(model)
    folder, said = find_model(run.home, "tuned", None, None)
    assert folder.parent.name == "bzebra" and "ask-docs" in said
    assert find_model(run.home, "base", None, None)[0].parent.name == "b"
    assert find_model(run.home, "tuned", "base", None)[0].parent.name == "b"
    with pytest.raises(BadInput, match="its models are base, zebra, ask-docs"):
        find_model(run.home, "tuned", "german", None)
    with pytest.raises(BadInput, match="no model of other"):
        models_of(run.home, "other")


def test_a_task_that_is_added_later_joins_the_same_champion(tmp_path: Path) -> None:
    run = Promoting(tmp_path)
    promote(run, run.stages("b", "ask-docs"))  # type: ignore[arg-type]
    later = run.stages("b", "ask-docs", "french")
    promote(run, later)  # type: ignore[arg-type]
    assert run.taken == ["this model is the champion already"] and run.decided == 1
    assert [name for name, _ in tuned_models(champion(run))] == ["ask-docs", "french"]
    history = json.loads((run.home.folder / "pointers" / "champion-mine.json").read_text())
    assert len(history["history"]) == 2
    promote(run, later)  # type: ignore[arg-type]
    again = json.loads((run.home.folder / "pointers" / "champion-mine.json").read_text())
    assert len(again["history"]) == 2, "nothing has changed"


def test_a_tuned_model_is_compared_with_the_champion_s_of_that_name(tmp_path: Path) -> None:
    run = Promoting(tmp_path, metric="answers.ask-docs.nats_per_token")
    promote(run, run.stages("b", "ask-docs"))  # type: ignore[arg-type]
    assert run.beside == [], "there is no champion yet"
    promote(run, run.stages("c", "ask-docs"))  # type: ignore[arg-type]
    assert run.beside == [("answers", "bask-docs")]
    assert champion(run)["metric"] == "answers.ask-docs.nats_per_token"
    assert champion(run)["base"]["key"] == "c"
    promote(run, run.stages("c", "ask-docs"))  # type: ignore[arg-type]
    assert run.taken == ["this model is the champion already"]


def test_a_tuned_model_of_the_same_base_must_be_better_too(tmp_path: Path) -> None:
    run = Promoting(tmp_path, metric="answers.ask-docs.nats_per_token")
    first = run.stages("b", "ask-docs")
    promote(run, first)  # type: ignore[arg-type]
    again = run.stages("b", "ask-docs")
    again["finetune"]["model"]["ask-docs"] = run.model("finetune", "tuned-otherwise")
    promote(run, again)  # type: ignore[arg-type]
    assert run.decided == 2 and run.taken == []
    assert tuned_models(champion(run))[0][1].key == "tuned-otherwise"


def test_a_champion_without_a_model_of_that_name_is_no_champion_of_it(tmp_path: Path) -> None:
    run = Promoting(tmp_path)
    promote(run, run.stages("b", "french"))  # type: ignore[arg-type]
    run.recipe.promote = PromoteSettings(metric="answers.ask-docs.nats_per_token")
    promote(run, run.stages("c", "ask-docs"))  # type: ignore[arg-type]
    assert run.beside == [] and champion(run)["base"]["key"] == "c"


def test_a_figure_that_the_run_did_not_measure_is_named(tmp_path: Path) -> None:
    run = Promoting(tmp_path, metric="answers.ask-docs.nats_per_token")
    stages = run.stages("b", "ask-docs")
    del stages["evaluate"]["answers"]
    with pytest.raises(BadInput, match=r"promote.metric is answers.ask-docs.nats_per_token"):
        promote(run, stages)  # type: ignore[arg-type]


def test_before_a_promotion_the_newest_runs_models_are_found(tmp_path: Path) -> None:
    run = Promoting(tmp_path)
    _record(run, run.stages("b", "ask-docs", "french"))
    assert list(models_of(run.home, None).named) == ["base", "ask-docs", "french"]
    assert find_model(run.home, "tuned", "french", None)[0].is_dir()
    for given in (str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(BadInput, match="is not a model folder"):
            find_model(run.home, "tuned", given, None)


def _record(run: Promoting, stages: Any) -> None:
    kept = {
        name: {
            "outputs": {"model": {k: v.to_json() for k, v in stages[name]["model"].items()}},
            "steps": [],
            "ran": 1,
        }
        for name in ("pretrain", "finetune")
    }
    Runs(run.home.folder).save(
        RunRecord("r1", "mine", "2026-01-01", {}, 1.0, outcome="completed", stages=kept)
    )
