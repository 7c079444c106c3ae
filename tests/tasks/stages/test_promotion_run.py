"""Promotion by a figure of a tuned model, in a real run."""

import json
from collections.abc import Callable
from typing import Any

from llm.runs import RunRecord
from llm.store import Reference
from tasks.engine.home import Home

METRIC = "answers.ask-docs.nats_per_token"
Go = Callable[..., tuple[set[str], RunRecord, list[str]]]


def decision(home: Home, record: RunRecord) -> dict[str, Any]:
    outputs: Any = record.outputs("promote")
    folder = home.store.local(outputs["decision"]["all"])
    found: dict[str, Any] = json.loads((folder / "decision.json").read_text())
    return found


def value(home: Home, record: RunRecord, suite: str, model: str, figure: str) -> float:
    outputs: Any = record.outputs("evaluate")
    folder = home.store.local(outputs[suite][model])
    metrics = json.loads((folder / "metrics.json").read_text())
    return float(metrics["figures"][figure]["value"])


def test_a_tuned_model_is_promoted_by_its_own_figure_beside_the_champions(
    go: Go, home: Home
) -> None:
    ran, first, _ = go(f"promote.metric={METRIC}")
    assert ran == set(), "its model is the champion's already"
    before = value(home, first, "answers", "ask-docs", "nats_per_token")
    ran, record, _ = go(f"promote.metric={METRIC}", "finetune.0.schedule.peak_lr=0.0001")
    # The champion's figure is in the store: it was measured on the same answers.
    assert "finetune ask-docs" in ran and "answers champion" not in ran
    told = decision(home, record)
    assert (told["metric"], told["better"], told["items"]) == (METRIC, "lower", 20)
    assert told["champion"] == before
    assert told["candidate"] == value(home, record, "answers", "ask-docs", "nats_per_token")
    champion = home.runs.pointer("champion-demo")
    assert champion is not None
    [tuned] = champion["tuned"]
    outputs: Any = (record if told["promote"] else first).outputs("finetune")
    assert Reference.from_json(tuned["model"]) == outputs["model"]["ask-docs"]
