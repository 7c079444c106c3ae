"""What a recipe may ask of each shard besides signals: its own filters, contamination, passages."""

from collections.abc import Sequence

from llm.corpus.hooks_settings import ApplyHooks
from llm.located import written
from llm.store import Reference
from tasks.engine.run import Run
from tasks.engine.step import Call, Outside, Step
from tasks.stages.sources import hook_identity, hook_parts

HOOKS = Step("hooks", "llm.corpus.hooks:apply")
INDEX = Step("evaluation-index", "llm.corpus.contamination.search:index")
CONTAMINATION = Step("contamination", "llm.corpus.contamination.search:find_contaminated")
PASSAGES = Step("passages", "llm.corpus.passages:hash_passages")

Shards = Sequence[tuple[str, Reference]]


def hooked(run: Run, shards: Shards) -> list[Reference]:
    """What the user's own filters say of each shard's documents. Limits are not part of it."""
    functions = {name: hook.function for name, hook in sorted(run.recipe.clean.hooks.items())}
    values = ApplyHooks(functions=functions)
    identity = {"hooks": {written(name): hook_identity(name) for name in functions.values()}}
    parts = hook_parts(*functions.values())
    return run.map(
        [
            Call(HOOKS, values, {"documents": [one]}, label, identity, parts=parts)
            for label, one in shards
        ]
    )


def contamination(run: Run, shards: Shards) -> list[Reference]:
    """Where each shard's documents hold items of the recipe's evaluation sets."""
    from llm.corpus.contamination.sets import evaluation_files

    settings = run.recipe.clean.decontaminate
    files = [Outside.files(evaluation_files(settings))]
    index = run.step(Call(INDEX, settings, {"files": files}))
    return run.map(
        [
            Call(CONTAMINATION, settings, {"documents": [one], "index": [index]}, label)
            for label, one in shards
        ]
    )


def passages(run: Run, shards: Shards) -> list[Reference]:
    """The hash of every line or paragraph of each shard."""
    settings = run.recipe.clean.passages
    return run.map([Call(PASSAGES, settings, {"documents": [one]}, label) for label, one in shards])
