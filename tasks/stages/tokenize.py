"""Tokenize: each shard of documents → Arrow token shards for training and validation."""

from llm.runs import Outputs
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Step

ENCODE = Step("tokenize", "llm.tokens.tokenize:tokenize", holds="tokens")


def tokenize(run: Run, stages: Stages) -> Outputs:
    """One call a shard."""
    tokenizer = list(stages["tokenizer"]["tokenizer"].values())
    documents = stages["clean"]["documents"]
    calls = [
        Call(ENCODE, run.recipe.tokenize, {"documents": [document], "tokenizer": tokenizer}, label)
        for label, document in documents.items()
    ]
    return {"tokens": dict(zip(documents, run.map(calls), strict=True))}
