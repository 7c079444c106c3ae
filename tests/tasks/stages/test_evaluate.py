"""What the report is given of the stages before."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm.evaluation.evaluate import EvaluateSettings
from llm.step import Reporter
from llm.store import Reference
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home
from tasks.stages.evaluate import examined, over_tokens


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


def test_baselines_over_tokens_run_only_when_named_each_with_a_step_of_its_own() -> None:
    called: list[str] = []

    def step(call: Any) -> Reference:
        called.append(call.name)
        return Reference(call.step.name, "key", "content")

    stages: Any = {"tokenize": {"tokens": {}}, "tokenizer": {"tokenizer": {}}}
    for settings, names in (
        (EvaluateSettings(), []),
        (
            EvaluateSettings(baselines=("cnn", "uniform", "kneser_ney")),
            ["train-baseline cnn", "baseline cnn", "baseline kneser_ney"],
        ),
        (
            EvaluateSettings(baselines=("hmm", "lstm")),
            ["baseline hmm", "train-baseline lstm", "baseline lstm"],
        ),
    ):
        called.clear()
        run: Any = SimpleNamespace(recipe=SimpleNamespace(evaluate=settings), step=step)
        over_tokens(run, stages)
        assert called == names
