"""Tokenizer: the training split of the documents → a subword vocabulary, learned or brought along."""

from pathlib import Path

from llm.runs import Outputs
from llm.store import Reference
from llm.tokens.tokenizer_settings import TrainTokenizer
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Outside, Step
from tasks.engine.verdict import as_of_today

TRAIN = Step("tokenizer", "llm.tokens.tokenizer:train", holds="model")
IMPORT = Step("tokenizer", "llm.tokens.imports:import_tokenizer", holds="model")


def tokenizer(run: Run, stages: Stages) -> Outputs:
    """One tokenizer: learned from all shards, or the user's own, measured on them.

    Where training goes on night after night, the one of the night before stays in use.
    """
    settings = run.recipe.tokenizer
    values = TrainTokenizer(
        settings=settings, validation_fraction=run.recipe.tokenize.validation.fraction
    )
    inputs: dict[str, list[Reference | Outside]] = {
        "documents": list(stages["clean"]["documents"].values())
    }
    if (pinned := _pinned(run, values)) is not None:
        return {"tokenizer": {"all": pinned}}
    step = TRAIN
    if settings.imported is not None:
        from llm.tokens.imports import tokenizer_files

        step = IMPORT
        inputs["imported"] = [Outside.files(tokenizer_files(Path(settings.imported)))]
    return {"tokenizer": {"all": run.step(Call(step, values, inputs))}}


def _pinned(run: Run, values: TrainTokenizer) -> Reference | None:
    """What the night before learned with these settings, if a model is to go on from there."""
    before, own = run.night_before, values.settings.imported is not None
    if run.recipe.pretrain.continual is None or before is None or own:
        return None
    if run.stage in run.options.force:
        return None
    reference = (before.outputs("tokenizer") or {})["tokenizer"]["all"]
    artifact = run.store.find(reference.step, reference.key)
    if artifact is None or as_of_today(TrainTokenizer, artifact.manifest["values"]) != values:
        return None
    run.take("tokenizer", reference, f"as {before.snapshot} left it")
    return reference
