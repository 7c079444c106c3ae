"""Finetune: the base model and conversations → a model that answers, one for each task."""

from llm.corpus.questions_settings import QuestionSettings
from llm.runs import Outputs
from llm.training.finetune_settings import FinetuneSettings
from tasks.run import Run, Stages
from tasks.step import Call, Outside, Step

DERIVE = Step("questions", "llm.corpus.questions:derive")
READ = Step("questions", "llm.corpus.questions:read")
FINETUNE = Step("finetune", "llm.training.finetune:finetune", own_processes=True)


def finetune(run: Run, stages: Stages) -> Outputs:
    """For each task of the recipe: its data, then the training."""
    base = list(stages["pretrain"]["model"].values())
    outputs: Outputs = {"model": {}, "data": {}}
    for task in run.recipe.finetune:
        data = run.step(_data(run, task))
        outputs["data"][task.name] = data
        outputs["model"][task.name] = run.step(
            Call(FINETUNE, task, {"model": base, "data": [data]}, task.name)
        )
    return outputs


def _data(run: Run, task: FinetuneSettings) -> Call:
    values = QuestionSettings(
        data=task.data, validation_fraction=run.recipe.tokenize.validation.fraction
    )
    if task.data.startswith("builtin:"):
        return Call(DERIVE, values, {}, task.name)
    from llm.corpus.sources.files import expand

    return Call(READ, values, {"files": [Outside.files(expand(task.data))]}, task.name)
