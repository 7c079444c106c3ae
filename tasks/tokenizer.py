"""Tokenizer: the training split of the documents → a subword vocabulary."""

from llm.runs import Outputs
from llm.tokens import bpe
from llm.tokens.bpe import TrainTokenizer
from tasks.run import Run, Stages
from tasks.step import Call, Step

TRAIN = Step("tokenizer", bpe.train)


def tokenizer(run: Run, stages: Stages) -> Outputs:
    """Train one tokenizer on all shards."""
    values = TrainTokenizer(
        settings=run.recipe.tokenizer, validation_fraction=run.recipe.tokenize.validation.fraction
    )
    documents = list(stages["clean"]["documents"].values())
    return {"tokenizer": {"all": run.step(Call(TRAIN, values, {"documents": documents}))}}
