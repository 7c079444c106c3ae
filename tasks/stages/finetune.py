"""Finetune: the base model and examples → a tuned model, one for each task."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from llm.models.layouts.own import MODEL_TYPE
from llm.parts import chosen
from llm.runs import Outputs
from llm.step import digest_of
from llm.store import Reference
from llm.tokens.special import GROUPS
from llm.training.finetune import start
from llm.training.finetune.adopt import AdoptSettings
from llm.training.finetune.proof.settings import PROVED, Proving
from llm.training.finetune.settings import FinetuneSettings, shaping
from llm.training.finetune.task import examples_of, files_of, task_of
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Outside, Step
from tasks.stages.models import layout_notes, model_parts

DERIVE = Step(
    "examples",
    "llm.examples.questions:derive",
    holds="rows",
    files_in="data",
    form=3,
    formerly=("questions",),
)
READ = dataclasses.replace(DERIVE, place="llm.examples.files:read")
ADOPT = Step("adopt", "llm.training.finetune.adopt:adopt", holds="model")
ROWS = Step("rows", "llm.training.finetune.prepare:prepare", holds="rows")
PROVE = Step("prove", "llm.training.finetune.proof.step:prove")
REFERENCE = Step("reference", "llm.training.finetune.reference:refer", holds="rows")
FINETUNE = Step(
    "finetune",
    "llm.training.finetune.step:finetune",
    own_processes=True,
    learns=True,
    holds="model",
)


def finetune(run: Run, stages: Stages) -> Outputs:
    """For each task of the recipe: its data, the rows that are learned from, their proof, the training."""
    outputs: Outputs = {"model": {}, "data": {}, "rows": {}, "proof": {}}
    for task in run.recipe.finetune:
        base, parts, notes = _start(run, stages, outputs, task)
        data = outputs["data"][task.name] = run.step(_data(run, task))
        how = {**parts, **chosen("task", [task.task])}
        rows = outputs["rows"][task.name] = run.step(
            Call(ROWS, shaping(task), {"model": base, "data": [data]}, task.name, parts=how)
        )
        writes = task_of(task.task).writes
        if not writes:  # not every layout has a head for texts
            how |= chosen("layout", [MODEL_TYPE])
        proof = outputs["proof"][task.name] = run.step(
            Call(
                PROVE,
                Proving(task=shaping(task), proof=task.proof),
                {"model": base, "data": [data], "rows": [rows]},
                task.name,
                parts=how,
            )
        )
        inputs = {"model": base, "rows": [rows]}
        if task_of(task.task).refers:
            call = Call(REFERENCE, shaping(task), inputs, task.name, parts=how)
            inputs = {**inputs, "reference": [run.step(call)]}
        how |= chosen("optimizer", [task.trained_by.type])
        how |= chosen("adapt", [task.adapt.type] if task.adapt else [])
        proved = run.parts(proof)[PROVED] if run.is_made(proof) else proof
        inputs = {**inputs, "proof": [proved]}
        outputs["model"][task.name] = run.step(
            Call(FINETUNE, task, inputs, task.name, notes=notes, parts=how)
        )
    return outputs


def _start(
    run: Run, stages: Stages, outputs: Outputs, task: FinetuneSettings
) -> tuple[list[Reference], dict[str, str], tuple[str, ...]]:
    """The model that a task starts from, the modules that read it, and what a plan says of its layout."""
    tasks, writes = run.recipe.finetune, task_of(task.task).writes
    root = start.root_of(tasks, task)
    if task.init is not None and not start.is_folder(task.init):
        base = [outputs["model"][task.init]]
    elif task.init is not None:
        base = [run.step(_adopt(run, task))]
    else:
        base = list(stages["pretrain"]["model"].values())
    if root is None:
        model = run.recipe.pretrain.model
        return base, model_parts(model), layout_notes(model, writes)
    return base, start.read(root).parts, ()


def _adopt(run: Run, task: FinetuneSettings) -> Call:
    """A model folder with the tokens that tasks which start from it need: one call for all of them."""
    assert task.init is not None
    found = start.read(task.init)
    tokens = dict.fromkeys(
        name
        for one in run.recipe.finetune
        if start.root_of(run.recipe.finetune, one) == task.init
        for group in task_of(one.task).reserves
        for name in GROUPS[group]
    )
    inputs = {"folder": [Outside.folder(found.folder)]}
    label = found.folder.name
    return Call(ADOPT, AdoptSettings(tokens=tuple(tokens)), inputs, label, parts=found.parts)


def _data(run: Run, task: FinetuneSettings) -> Call:
    values = dataclasses.replace(
        examples_of(task), validation_fraction=run.recipe.tokenize.validation.fraction
    )
    if task.data.startswith("builtin:"):
        erased = _taken_down(run, task, ())
        return Call(DERIVE, dataclasses.replace(values, erased=erased), {}, task.name)
    from llm.corpus.sources.files import expand

    files = {name: expand(path) for name, path in files_of(task).items()}
    erased = _taken_down(run, task, [path for group in files.values() for path in group])
    inputs = {name: [Outside.files(group)] for name, group in files.items()}
    return Call(READ, dataclasses.replace(values, erased=erased), inputs, task.name)


def _taken_down(run: Run, task: FinetuneSettings, files: Sequence[Path]) -> tuple[str, ...]:
    """Digests of the addresses in a task's examples that the list covers.

    Only those that are there: another entry on the list makes nothing again.
    """
    if not run.machine.takedown:
        return ()
    from llm.corpus.erasure.exclusions import Exclusions
    from llm.corpus.site.documentation import standard_library
    from llm.examples.files import addresses

    covered = Exclusions(run.machine.takedown)
    if task.data.startswith("builtin:"):
        found = {source.url for source in standard_library()}
    elif any(isinstance(field, int) for field in task.columns.values()):
        return ()  # a table without a header has no addresses
    else:
        found = {url for path in files for url in addresses(path)}
    return tuple(sorted(digest_of([url]) for url in found if url and covered.covers(url)))
