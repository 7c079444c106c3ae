"""Promote: the champion pointer moves to tonight's model, if it is better on the same documents."""

import json
from typing import Any

from llm.evaluation.perplexity_settings import MeasurePerplexity
from llm.runs import Outputs
from llm.store import Reference
from tasks.run import Run, Stages
from tasks.step import Call, Step

MEASURE = Step("perplexity", "llm.evaluation.perplexity:measure")
DECIDE = Step("promote", "llm.evaluation.promotion:decide")
TRIES = 3


def champion_pointer(recipe: str) -> str:
    """The name of the pointer to a recipe's champion."""
    return f"champion-{recipe}"


def promote(run: Run, stages: Stages) -> Outputs:
    """Measure the champion on tonight's validation documents too, compare, and move the pointer."""
    pointer = champion_pointer(run.recipe.name)
    base = stages["pretrain"]["model"]["base"]
    for _ in range(TRIES):
        champion = run.runs.pointer(pointer)
        if champion is not None and champion["base"]["content"] == base.content:
            decision = Reference.from_json(champion["decision"])
            run.take("promote", decision, "this model is the champion already")
            return {"decision": {"all": decision}}
        decision = _decide(run, stages, champion)
        if not run.counts(decision).get("promoted"):
            break
        if run.move_pointer(pointer, champion, _entry(run, stages, decision)):
            break
    return {"decision": {"all": decision}}


def _decide(run: Run, stages: Stages, champion: dict[str, Any] | None) -> Reference:
    inputs = {"candidate": [stages["evaluate"]["perplexity"]["base"]]}
    if champion is not None:
        values = MeasurePerplexity(
            settings=run.recipe.evaluate.perplexity,
            validation_fraction=run.recipe.tokenize.validation.fraction,
        )
        documents = list(stages["clean"]["documents"].values())
        model = Reference.from_json(champion["base"])
        measured = {"model": [model], "documents": documents}
        inputs["champion"] = [run.step(Call(MEASURE, values, measured, "champion"))]
    return run.step(Call(DECIDE, run.recipe.promote, inputs))


def _entry(run: Run, stages: Stages, decision: Reference) -> dict[str, Any]:
    """What the pointer names: the models, and the measurement that made them champion."""
    base = stages["pretrain"]["model"]["base"]
    tuned = next(iter(stages["finetune"]["model"].values()), None)
    measured = stages["evaluate"]["perplexity"]["base"]
    named = [base, measured, decision, *([tuned] if tuned else [])]
    return {
        "recipe": run.recipe.name,
        "snapshot": run.snapshot,
        "metric": run.recipe.promote.metric,
        "value": json.loads((run.store.local(decision) / "decision.json").read_text())["candidate"],
        "base": base.to_json(),
        "tuned": tuned.to_json() if tuned else None,
        "decision": decision.to_json(),
        "references": [reference.to_json() for reference in named],
    }
