"""Promote: the champion pointer moves to tonight's model, if it is better on the same documents."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from llm.evaluation import registry
from llm.evaluation.metric import Metric, chosen
from llm.evaluation.suite import BASE
from llm.runs import Outputs
from llm.step import BadInput
from llm.store import Reference
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Step
from tasks.stages.evaluate import models, suite_call
from tasks.stages.models import architecture_of_made, parts_of_made

DECIDE = Step("promote", "llm.evaluation.promote:decide")
TRIES = 10


def champion_pointer(recipe: str) -> str:
    """The name of the pointer to a recipe's champion."""
    return f"champion-{recipe}"


def metric_of(run: Run) -> Metric:
    """The figure that a run promotes by."""
    return chosen(run.recipe.promote.metric, run.recipe.pretrain.model.architecture)


def promote(run: Run, stages: Stages) -> Outputs:
    """Measure the champion on tonight's items too, compare by one figure, and move the pointer.

    Where the champion moves meanwhile, the model is compared with the new one. Raises BadInput where
    that never ends, so that no run says "promoted" whose model was not.
    """
    pointer = champion_pointer(run.recipe.name)
    candidate = models(stages)[metric_of(run).model]
    for _ in range(TRIES):
        champion = run.runs.pointer(pointer)
        beside = None if champion is None else _model_of(run, champion)
        if champion is not None and beside is not None and beside.content == candidate.content:
            decision = Reference.from_json(champion["decision"])
            now = _with_tuned(champion, stages)
            if now != champion and not run.move_pointer(pointer, champion, now):
                continue
            run.take("promote", decision, "this model is the champion already")
            return {"decision": {"all": decision}}
        decision = _decide(run, stages, beside)
        if not run.counts(decision).get("promoted"):
            return {"decision": {"all": decision}}
        if run.move_pointer(pointer, champion, _entry(run, stages, decision)):
            return {"decision": {"all": decision}}
    raise BadInput(
        f"not promoted: the champion of {run.recipe.name} changed {TRIES} times while this model was "
        "compared with it. When no other run promotes, compare it again: penstock run --only promote"
    )


def _model_of(run: Run, champion: Mapping[str, Any]) -> Reference | None:
    """The champion's model that the metric is about; None where it has none of that name."""
    name = metric_of(run).model
    if name == BASE:
        return Reference.from_json(champion["base"])
    return dict(tuned_models(champion)).get(name)


def _decide(run: Run, stages: Stages, champion: Reference | None) -> Reference:
    """The decision between tonight's model and the champion's (None: there is none of that name)."""
    metric = metric_of(run)
    measured = stages["evaluate"].get(metric.suite, {})
    if metric.model not in measured:
        raise BadInput(
            f"promote.metric is {metric}, and the stage evaluate did not measure that model by that suite: "
            "run it with the suite in evaluate.suites, and with data for the task"
        )
    inputs = {"candidate": [measured[metric.model]]}
    if champion is not None and _measures(run, metric.suite, champion):
        call = suite_call(run, stages, metric.suite, metric.model, champion)
        assert call is not None, "the suite has measured tonight's model of that name"
        parts = parts_of_made(run, champion)  # it may be of another architecture
        inputs["champion"] = [run.step(dataclasses.replace(call, label="champion", parts=parts))]
    values = dataclasses.replace(run.recipe.promote, metric=str(metric))
    return run.step(Call(DECIDE, values, inputs))


def _measures(run: Run, name: str, champion: Reference) -> bool:
    """Whether a suite can measure a champion, which may be of another architecture than tonight's."""
    architecture = architecture_of_made(run, champion)
    return architecture is None or architecture in registry.suite(name).architectures


def _entry(run: Run, stages: Stages, decision: Reference) -> dict[str, Any]:
    """What the pointer names: the models, and the measurement that made them champion."""
    metric = metric_of(run)
    base = stages["pretrain"]["model"]["base"]
    measured = stages["evaluate"][metric.suite][metric.model]
    entry = {
        "recipe": run.recipe.name,
        "snapshot": run.snapshot,
        "metric": str(metric),
        "value": json.loads((run.store.local(decision) / "decision.json").read_text())["candidate"],
        "base": base.to_json(),
        "decision": decision.to_json(),
        "references": [reference.to_json() for reference in (base, measured, decision)],
    }
    return _with_tuned(entry, stages)


def _with_tuned(entry: Mapping[str, Any], stages: Stages) -> dict[str, Any]:
    """A pointer's entry that names the models tuned from its base model, in the recipe's order."""
    before = [model for _, model in tuned_models(entry)]
    kept = [one for one in entry["references"] if Reference.from_json(one) not in before]
    tuned = list(stages["finetune"]["model"].items())
    return {
        **entry,
        "tuned": [{"name": name, "model": model.to_json()} for name, model in tuned],
        "references": [*kept, *(model.to_json() for _, model in tuned)],
    }


def tuned_models(entry: Mapping[str, Any]) -> Sequence[tuple[str, Reference]]:
    """The tuned models that a champion's entry names, in the recipe's order."""
    found = entry.get("tuned")
    return [
        (one["name"], Reference.from_json(one["model"]))
        for one in (found if isinstance(found, list) else ())
    ]
