"""Pretrain: token shards → a base model."""

import dataclasses
from pathlib import Path

from llm.fingerprint import plain
from llm.runs import Outputs
from llm.step import BadInput
from llm.store import Reference
from llm.training import pretrain as training
from llm.training.pretrain import PretrainSettings
from tasks.run import Run, Stages
from tasks.step import Call, Outside, Step

PRETRAIN = Step("pretrain", training.pretrain, own_processes=True)


def pretrain(run: Run, stages: Stages) -> Outputs:
    """Train one model; go on from an earlier one of the same recipe that saw fewer tokens."""
    return {"model": {"base": run.step(call_of(run, stages, run.recipe.pretrain))}}


def call_of(run: Run, stages: Stages, settings: PretrainSettings, label: str = "") -> Call:
    """Training as `settings` say on what the stages before left. Raises BadInput."""
    inputs: dict[str, list[Reference | Outside]] = {
        "tokens": list(stages["tokenize"]["tokens"].values()),
        "tokenizer": list(stages["tokenizer"]["tokenizer"].values()),
    }
    if settings.init is not None:
        folder = Path(settings.init)
        if not folder.is_dir():
            raise BadInput(f"pretrain.init: there is no folder {folder}")
        inputs["init"] = [Outside.folder(folder)]
    call = Call(PRETRAIN, settings, inputs, label)
    return dataclasses.replace(call, hints=_trunk(run, call))


def _trunk(run: Run, call: Call) -> dict[str, list[Reference]]:
    """The furthest artifact that differs from the call in nothing but having seen fewer tokens.

    Its checkpoint from before the decay saves the steps up to there; the result is the same.
    """
    if not call.is_known:
        return {}
    found = [
        (artifact.manifest["values"]["tokens"], artifact.reference)
        for artifact in run.store.artifacts(PRETRAIN.name)
        if artifact.manifest["contents"] == call.contents
        and artifact.manifest["fingerprint"]["modules"] == dict(call.fingerprint.modules)
        and artifact.manifest["fingerprint"]["libraries"] == dict(call.fingerprint.libraries)
        and {**artifact.manifest["values"], "tokens": call.values.tokens} == plain(call.values)
        and artifact.manifest["values"]["tokens"] < call.values.tokens
    ]
    best = max(found, key=lambda item: item[0], default=None)
    return {} if best is None else {"trunk": [best[1]]}
