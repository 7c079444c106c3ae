"""Evaluate: how good the models are, beside simple methods on the same bytes, in a report."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm.evaluation import registry
from llm.evaluation.report.settings import ReportValues
from llm.evaluation.suite import BASE, Measure, MeasureBaseline
from llm.models.layouts.own import MODEL_TYPE
from llm.parts import chosen as chosen_parts
from llm.runs import Outputs
from llm.store import Reference
from llm.training.finetune import start
from llm.training.finetune.task import task_of
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Step
from tasks.stages.models import model_parts

FORM = 2
"""Of what suites and baselines measure, and of the report (see `Step.form`)."""

TRAIN_BASELINE = Step(
    "train-baseline",
    "llm.training.baseline.step:train_baseline",
    own_processes=True,
    learns=True,
    holds="model",
)
REPORT = Step("report", "llm.evaluation.report.report:write", form=FORM)


def evaluate(run: Run, stages: Stages) -> Outputs:
    """Measure each model by each suite, and the baselines; write the report."""
    measured = {
        suite: {
            model: run.step(call)
            for model, reference in models(stages).items()
            if (call := suite_call(run, stages, suite, model, reference)) is not None
        }
        for suite in run.recipe.evaluate.suites
    }
    return {**measured, "report": {"all": _report(run, stages, measured)}}


def models(stages: Stages) -> dict[str, Reference]:
    """The models of a run by name: the base model, then the tuned ones in the recipe's order."""
    return {BASE: stages["pretrain"]["model"][BASE], **stages["finetune"]["model"]}


def suite_call(
    run: Run, stages: Stages, name: str, model: str, reference: Reference
) -> Call | None:
    """The call that measures a model by a suite; None where the suite does not measure it.

    model: what the recipe calls it; reference: its artifact.
    """
    suite = registry.suite(name)
    made = {BASE, *stages["finetune"]["data"]}
    subjects = registry.subjects(run.recipe)
    tasks = suite.tasks_of(model, {name: subjects[name] for name in subjects if name in made})
    if tasks is None:
        return None
    values: Measure[Any] = Measure(
        settings=getattr(run.recipe.evaluate, name),
        validation_fraction=run.recipe.tokenize.validation.fraction,
        tasks=tasks,
    )
    inputs = {"model": [reference], **_inputs(stages, suite.inputs_of(model), tasks)}
    step = Step(name, f"{registry.SUITES[name]}:measure", form=FORM)
    return Call(step, values, inputs, model, parts=_parts(run, model))


def _parts(run: Run, model: str) -> dict[str, str]:
    """The modules that read a model of the run."""
    task = next((one for one in run.recipe.finetune if one.name == model), None)
    root = None if task is None else start.root_of(run.recipe.finetune, task)
    if root is None:
        return model_parts(run.recipe.pretrain.model)
    found = start.read(root).parts
    writes = task is None or task_of(task.task).writes
    return found if writes else {**found, **chosen_parts("layout", [MODEL_TYPE])}


def _inputs(
    stages: Stages, names: Sequence[str], tasks: Sequence[str] = ()
) -> dict[str, list[Reference]]:
    """What suites and baselines ask for, from the stages before."""
    found = {
        "documents": lambda: list(stages["clean"]["documents"].values()),
        "tokens": lambda: list(stages["tokenize"]["tokens"].values()),
        "tokenizer": lambda: list(stages["tokenizer"]["tokenizer"].values()),
        "data": lambda: [stages["finetune"]["data"][task] for task in tasks],
    }
    return {name: found[name]() for name in names}


def baselines(run: Run, stages: Stages) -> dict[str, Reference]:
    """The named baselines, each with its own key; those that are trained after the others.

    They say how well text can be foretold from left to right: beside other models there is none.
    """
    if run.recipe.pretrain.model.architecture != "decoder":
        return {}
    chosen = {name: registry.baseline(name) for name in run.recipe.evaluate.baselines}
    counted = [name for name, one in chosen.items() if one.trains is None]
    calls = [_baseline_call(run, stages, name, {}) for name in counted]
    found = dict(zip(counted, run.map(calls), strict=True))
    for name, one in chosen.items():
        if one.trains is None:
            continue
        train = dataclasses.replace(TRAIN_BASELINE, place=one.trains)
        section = getattr(run.recipe.evaluate, name)
        parts = chosen_parts("optimizer", [section.training.optimizer.type])
        model = run.step(Call(train, section, _inputs(stages, one.inputs), name, parts=parts))
        found[name] = run.step(_baseline_call(run, stages, name, {"model": [model]}))
    return {name: found[name] for name in chosen}


def _baseline_call(
    run: Run, stages: Stages, name: str, model: Mapping[str, Sequence[Reference]]
) -> Call:
    """The call that measures a baseline. model: for one that is trained, its model."""
    settings, one = run.recipe.evaluate, registry.baseline(name)
    values: MeasureBaseline[Any] = MeasureBaseline(
        name=name,
        settings=getattr(settings, name, None),
        validation_fraction=run.recipe.tokenize.validation.fraction,
        limit_bytes=settings.perplexity.documents_limit_bytes,
        scoring=settings.perplexity if one.trains else None,
    )
    inputs = {**model, **_inputs(stages, one.inputs)}
    place = f"{registry.BASELINES[name]}:measure"
    step = Step("baseline", place, form=FORM, formerly=("baselines",))
    return Call(step, values, inputs, name)


def _report(run: Run, stages: Stages, measured: Mapping[str, Mapping[str, Reference]]) -> Reference:
    decided = list(stages["clean"]["decisions"].values())
    documents = list(stages["clean"]["documents"].values())
    simple = baselines(run, stages)
    values = ReportValues(
        title=run.recipe.name,
        snapshot=run.snapshot,
        models=tuple(models(stages)),
        suites=tuple(measured),
        baselines={name: registry.baseline(name).titles[name] for name in simple},
    )
    inputs = {
        "funnel": decided,
        **examined(run, decided, documents),
        "tokens": list(stages["tokenize"]["tokens"].values()),
        "pretrain": [stages["pretrain"]["model"][BASE]],
        "finetune": list(stages["finetune"]["model"].values()),
        "proof": list(stages["finetune"].get("proof", {}).values()),
        **dict(_named(measured)),
        **{f"baselines.{name}": [one] for name, one in simple.items()},
    }
    parts = chosen_parts("suite", measured)
    for name in models(stages):
        parts |= _parts(run, name)
    return run.step(Call(REPORT, values, inputs, parts=parts))


def _named(
    measured: Mapping[str, Mapping[str, Reference]],
) -> Iterator[tuple[str, list[Reference]]]:
    """What suites found out as the report's inputs: SUITE.MODEL."""
    for suite, of_models in measured.items():
        for model, reference in of_models.items():
            yield f"{suite}.{model}", [reference]


def examined(
    run: Run, decided: Sequence[Reference], documents: Sequence[Reference]
) -> dict[str, list[Reference]]:
    """What the newest night's documents were searched with: its duplicates, its contamination.

    Of earlier nights nothing keeps them: a report made from them would change as they go.
    """
    found: dict[str, dict[Reference, None]] = {"duplicates": {}, "contamination": {}}
    if decided and run.is_made(decided[-1]):
        for one in (decided[-1], *documents):
            made = run.store.read(one.step, one.key) if run.is_made(one) else None
            inputs = {} if made is None else made.manifest["inputs"]
            by = [item["key"] for item in inputs.get("decisions", ())]
            if one is not decided[-1] and decided[-1].key not in by:
                continue
            for name, references in found.items():
                references.update(dict.fromkeys(map(Reference.from_json, inputs.get(name, ()))))
    return {
        name: [one for one in references if run.store.read(one.step, one.key) is not None]
        for name, references in found.items()
    }
