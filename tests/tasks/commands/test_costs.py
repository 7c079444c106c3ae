"""What a plan tells of pretraining's costs, and when it tries the first steps for that."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import costs as printed
from flows.planning import make_plan
from llm.machine import Machine
from llm.step import Reporter
from llm.training.pretrain.settings import PretrainSettings
from llm.training.ranks.launch import TrainingError
from llm.training.scaling import trial
from llm.training.scaling.trial import Trial
from tasks.commands import costs, trials
from tasks.engine.home import Home

TRIAL = Trial(
    start_seconds=10,
    step_seconds=2,
    part_rows=4,
    checkpoint_seconds=1,
    end_seconds=5,
    memory_bytes=1_000_000_000,
    device_bytes=None,
    steps=7,
    processes=2,
)
Plan = Callable[..., dict[str, Any] | None]


class Said(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The vocabularies of trials; each one's answer is TRIAL (test_trial.py makes real ones)."""
    asked: list[int] = []

    def measure(values: PretrainSettings, vocabulary: int, machine: Machine, folder: Path) -> Trial:
        asked.append(vocabulary)
        return TRIAL

    monkeypatch.setattr(trial, "measure", measure)
    return asked


def plan(home: Home, *overrides: str, with_trial: bool = True) -> dict[str, Any] | None:
    """The costs that a plan tells."""
    said = Said()
    tell = costs.Costs(home, with_trial, said)
    nothing: tuple[str, ...] = ()
    planned = make_plan(
        home, "demo", overrides, None, None, None, None, nothing, nothing, ["device=cpu"], tell
    )
    assert [item.call for item in planned if item.costs] in ([], ["pretrain"])
    found = next(item for item in planned if item.call == "pretrain")
    json.dumps(found.to_json())
    return None if found.costs is None else dict(found.costs)


def test_nothing_is_tried_where_pretraining_is_done(
    home: Home, small: tuple[str, ...], tried: list[int]
) -> None:
    assert plan(home, *small) is None
    assert not tried


def test_a_trial_is_made_once_for_runs_of_any_length(
    home: Home, small: tuple[str, ...], tried: list[int]
) -> None:
    found = plan(home, *small, "pretrain.seed=5")
    assert found is not None and tried == [400]
    # 8 steps of 512 tokens; checkpoints after 6 (twice, the decay begins) and 8, and the model.
    writes = 3 + 1 / 3
    assert found["seconds"] == pytest.approx(10 + 8 * 2 + writes + 5, abs=0.1)
    assert found["memory_bytes"] == TRIAL.memory_bytes
    assert "7 steps tried" in found["how"]
    longer = plan(home, *small, "pretrain.seed=5", "pretrain.tokens=16384", with_trial=False)
    assert longer is not None
    assert longer["seconds"] == pytest.approx(10 + 32 * 2 + writes + 5, abs=0.1)
    assert plan(home, *small, "pretrain.model.layers=2") is not None
    assert tried == [400, 400]


def test_a_longer_run_is_told_what_is_left_of_it(
    home: Home, small: tuple[str, ...], tried: list[int]
) -> None:
    found = plan(home, *small, "pretrain.tokens=16384")
    # Of the 8 steps of the first run, half were a decay, which the longer run does not go on from.
    assert found is not None and (found["steps"], found["steps_done"]) == (32, 4)
    assert found["seconds"] == pytest.approx(10 + 28 * 2 + 3 + 1 / 3 + 5, abs=0.1)


def test_of_a_task_with_an_adapter_it_is_told_how_few_weights_are_trained(
    home: Home, small: tuple[str, ...], tried: list[int], tmp_path: Path
) -> None:
    targets = "finetune.0.adapt={type: lora, rank: 2, targets: [q_proj, v_proj]}"
    for where in (home, Home(tmp_path / "new")):  # with a base model, and before there is one
        tell = costs.Costs(where, False, Said())
        planned = make_plan(
            where, "demo", (*small, targets), None, None, None, None, (), (), ["device=cpu"], tell
        )
        found = next(item.costs for item in planned if item.step == "finetune")
        assert found is not None
        # Of one layer of width 32: two maps of 32 by 32, and the two marks of a message.
        assert found["trained_parameters"] == 2 * 2 * (32 + 32) + 2 * 32
        assert found["vocabulary"] == 400
        assert "320 numbers: " in dict(printed.rows(found))["trained"]
    assert not tried


def test_before_anything_is_made_the_recipe_tells_the_vocabulary(
    tmp_path: Path, tried: list[int]
) -> None:
    found = plan(Home(tmp_path), "tokenizer.vocabulary=3000")
    assert found is not None and found["vocabulary"] == 3000 and tried == [3000]


def test_special_tokens_that_an_imported_tokenizer_is_to_get_are_counted(
    home: Home, go: Callable[..., Any], small: tuple[str, ...], tmp_path: Path, tried: list[int]
) -> None:
    [path] = home.folder.glob("store/artifacts/tokenizer/*/tokenizer.json")
    overrides = (f"tokenizer.import={tmp_path}", "tokenizer.reserve=[chat, masking, spans]")
    shutil.copy(path, tmp_path)
    before = plan(home, *small, *overrides)
    assert before is not None and before["vocabulary"] == 400 + 3 + 64
    go(*overrides, only="tokenizer")
    after = plan(home, *small, *overrides)
    assert after is not None and after["vocabulary"] == before["vocabulary"]
    assert tried == [467]


def test_ids_are_counted_where_an_imported_tokenizer_leaves_some_out(
    home: Home, go: Callable[..., Any], small: tuple[str, ...], tmp_path: Path, tried: list[int]
) -> None:
    [path] = home.folder.glob("store/artifacts/tokenizer/*/tokenizer.json")
    whole = json.loads(path.read_bytes())
    ids = whole["model"]["vocab"]
    ids[max(ids, key=ids.__getitem__)] = 450
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    overrides = (f"tokenizer.import={tmp_path}",)
    for _ in range(2):  # before it is imported, and after
        found = plan(home, *small, *overrides)
        assert found is not None and found["vocabulary"] == 451
        go(*overrides, only="tokenizer")
    assert tried == [451]


def test_a_model_to_start_from_keeps_the_embeddings_that_it_has_left_over(
    home: Home, small: tuple[str, ...], tmp_path: Path, tried: list[int]
) -> None:
    [config] = home.folder.glob("store/artifacts/pretrain/*/model/config.json")
    padded = shutil.copytree(config.parent, tmp_path / "padded")
    fields = {**json.loads(config.read_bytes()), "vocab_size": 512}
    (padded / "config.json").write_text(json.dumps(fields))
    found = plan(home, *small, f"pretrain.init={padded}")
    assert found is not None and found["vocabulary"] == 512 and tried == [512]


def test_without_a_trial_time_is_unknown_and_memory_at_least_what_training_holds(
    home: Home, small: tuple[str, ...], tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = (*small, "pretrain.seed=5")
    found = plan(home, *changed, with_trial=False)
    assert found is not None and found["seconds"] is None and found["hours"] is None
    assert found["memory_bytes"] is None and "--no-trial" in found["how"]
    assert found["state_bytes"] >= 4 * 5 * found["parameters"]
    monkeypatch.setattr(costs, "available_bytes", lambda: found["state_bytes"] - 1)
    assert "at least" in (plan(home, *changed) or {})["how"]
    assert not tried
    monkeypatch.setattr(costs, "available_bytes", lambda: None)
    monkeypatch.setattr(costs, "gpu_name", lambda: "NVIDIA H200")
    monkeypatch.setattr(costs.launch, "on_gpu", lambda machine: True)
    known = plan(home, *changed, with_trial=False)
    assert known is not None and known["seconds"] is not None and "H200" in known["how"]


def test_a_failed_trial_leaves_the_rest_of_the_plan(
    home: Home, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*arguments: Any) -> Trial:
        raise TrainingError("out of memory")

    monkeypatch.setattr(trial, "measure", measure)
    found = plan(home, *small, "pretrain.seed=5")
    assert found is not None and found["seconds"] is None
    assert found["how"] == "the trial failed: out of memory"
    assert not list((home.store.scratch / "work" / "trial").glob("*"))


def test_the_driver_tells_the_gpu_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "GPUS", tmp_path)
    assert trials.gpu_name() is None
    (tmp_path / "0000:18:00.0").mkdir()
    text = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 321\n"
    (tmp_path / "0000:18:00.0" / "information").write_text(text)
    assert trials.gpu_name() == "NVIDIA H100 80GB HBM3"
