"""What the report is given of the stages before."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm.evaluation.evaluate import EvaluateSettings
from llm.examples.settings import Column
from llm.step import Reporter
from llm.store import Reference
from llm.training.finetune.instruct import Instruct, InstructSettings
from llm.training.pretrain.settings import PretrainSettings
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home
from tasks.stages.evaluate import baselines, examined, suite_call


@pytest.mark.parametrize("action", ["drop", "cut"])
def test_the_newest_nights_searches_are_found_whatever_they_led_to(
    tmp_path: Path, action: str
) -> None:
    texts = [" ".join(f"w{page}x{n}" for n in range(90)) for page in range(3)]
    lines = [{"url": f"http://a.test/{page}", "text": text} for page, text in enumerate(texts)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": texts[0][:200]}))
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"extends: {PROJECT}/recipes/demo.yaml\nname: mine\nsnapshot: once\n"
        f"crawl: {{sources: {{docs: null, mine: {{type: files, path: '{tmp_path}/mine.jsonl'}}}}}}\n"
        "clean:\n  filters: {presets: []}\n  planted: 2\n  decontaminate:\n"
        f"    action: {action}\n"
        f"    sets: {{quiz: {{path: '{tmp_path}/items.jsonl', fields: [question]}}}}\n"
    )
    home = Home(tmp_path / "home")
    run_id = run_locally(home, str(recipe), [], until="clean", report=Reporter())
    clean: Any = home.runs.load(run_id).outputs("clean")
    run: Any = SimpleNamespace(store=home.store, is_made=lambda one: True)
    decided, documents = list(clean["decisions"].values()), list(clean["documents"].values())
    found = examined(run, decided, documents)
    assert {name: len(references) for name, references in found.items()} == {
        "duplicates": 1,
        "contamination": 1,
    }
    for references in found.values():
        assert (home.store.local(references[0]) / "planted.json").is_file()
    assert examined(run, [], []) == {"duplicates": [], "contamination": []}


def stages(*tasks: str) -> Any:
    """What stages put out, as far as evaluation asks."""

    def of(step: str, *names: str) -> dict[str, Reference]:
        return {name: Reference(step, name, name) for name in names}

    return {
        "clean": {"documents": of("write", "docs")},
        "tokenizer": {"tokenizer": of("tokenizer", "all")},
        "tokenize": {"tokens": of("tokenize", "docs")},
        "pretrain": {"model": of("pretrain", "base")},
        "finetune": {"model": of("finetune", *tasks), "data": of("questions", *tasks)},
    }


def run_of(settings: EvaluateSettings, **more: Any) -> Any:
    tokenize = SimpleNamespace(validation=SimpleNamespace(fraction=0.1))
    return SimpleNamespace(
        recipe=SimpleNamespace(pretrain=PretrainSettings(), evaluate=settings, tokenize=tokenize),
        **more,
    )


def test_baselines_are_calls_of_their_own_and_the_trained_ones_come_last() -> None:
    called: list[str] = []

    def step(call: Any) -> Reference:
        called.append(call.name)
        return Reference(call.step.name, call.label, "content")

    def together(calls: Any) -> list[Reference]:
        return [step(call) for call in calls]

    for chosen, names in (
        (("uniform", "xz"), ["baseline uniform", "baseline xz"]),
        (
            ("cnn", "uniform", "kneser_ney"),
            ["baseline uniform", "baseline kneser_ney", "train-baseline cnn", "baseline cnn"],
        ),
        (("hmm", "lstm"), ["baseline hmm", "train-baseline lstm", "baseline lstm"]),
    ):
        called.clear()
        run = run_of(EvaluateSettings(baselines=chosen), step=step, map=together)
        assert list(baselines(run, stages())) == list(chosen), "in the recipe's order"
        assert called == names


def test_a_suite_on_data_reads_all_tasks_of_the_base_model_and_a_tuned_one_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, both = run_of(EvaluateSettings()), stages("ask", "tell")
    run.recipe.finetune = [InstructSettings(name=name, data="x") for name in ("ask", "tell")]

    def tasks(suite: str, model: str, of: Any = both) -> Any:
        call = suite_call(run, of, suite, model, Reference("x", "y", "z"))
        return None if call is None else (call.values.tasks, len(call.inputs.get("data", ())))

    assert tasks("answers", "base") == (("ask", "tell"), 2)
    assert tasks("answers", "tell") == (("tell",), 1)
    assert tasks("answers", "base", stages()) is None
    assert tasks("samples", "base") == ((), 0)
    assert tasks("samples", "tell") == (("tell",), 1)
    assert tasks("perplexity", "tell") == ((), 0)

    labels = (Column(name="text", type="text"), Column(name="label", type="text", answer=True))
    monkeypatch.setattr(Instruct, "columns", lambda self, values: labels)
    assert tasks("answers", "tell") is None, "a task that learns from no conversations has none"
    assert tasks("perplexity", "tell") == ((), 0)
