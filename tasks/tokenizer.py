"""Tokenizer: the training split of the documents → a subword vocabulary, learned or brought along."""

from pathlib import Path

from llm.runs import Outputs
from llm.store import Reference
from llm.tokens import imports
from llm.tokens import train as training
from llm.tokens.train import TrainTokenizer
from tasks.run import Run, Stages
from tasks.step import Call, Outside, Step

TRAIN = Step("tokenizer", training.train)
IMPORT = Step("tokenizer", imports.import_tokenizer)


def tokenizer(run: Run, stages: Stages) -> Outputs:
    """One tokenizer: learned from all shards, or the user's own, measured on them."""
    settings = run.recipe.tokenizer
    values = TrainTokenizer(
        settings=settings, validation_fraction=run.recipe.tokenize.validation.fraction
    )
    inputs: dict[str, list[Reference | Outside]] = {
        "documents": list(stages["clean"]["documents"].values())
    }
    step = TRAIN
    if settings.imported is not None:
        step = IMPORT
        inputs["imported"] = [Outside.files(imports.tokenizer_files(Path(settings.imported)))]
    return {"tokenizer": {"all": run.step(Call(step, values, inputs))}}
