"""Pretrain: token shards → a base model."""

from pathlib import Path

from llm.models.layouts.fields import read_object
from llm.parts import chosen, registry
from llm.runs import Outputs
from llm.step import BadInput
from llm.store import Reference
from llm.training.pretrain.nights import inputs_of
from llm.training.pretrain.settings import PretrainSettings
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Outside, Step
from tasks.stages.models import model_parts
from tasks.stages.nights import by_night
from tasks.stages.trunk import going_on, point

CONFIG = "config.json"
PRETRAIN = Step(
    "pretrain",
    "llm.training.pretrain.step:pretrain",
    own_processes=True,
    learns=True,
    holds="model",
)


def pretrain(run: Run, stages: Stages) -> Outputs:
    """Train one model; go on from the trunk of an earlier one that shares its beginning."""
    settings = run.recipe.pretrain
    model = run.step(call_of(run, stages, settings))
    if settings.continual is not None:
        point(run, model)
    return {"model": {"base": model}}


def call_of(run: Run, stages: Stages, settings: PretrainSettings, label: str = "") -> Call:
    """Training as `settings` say on what the stages before left. Raises BadInput."""
    tokens = stages["tokenize"]["tokens"]
    nights = [list(tokens.values())] if settings.continual is None else by_night(tokens) or [[]]
    inputs: dict[str, list[Reference | Outside]] = {
        **inputs_of(nights),
        "tokenizer": list(stages["tokenizer"]["tokenizer"].values()),
    }
    if settings.init is not None:
        folder = Path(settings.init)
        if not folder.is_dir():
            raise BadInput(f"pretrain.init: there is no folder {folder}")
        inputs["init"] = [Outside.folder(folder)]
    return going_on(run, Call(PRETRAIN, settings, inputs, label, parts=parts_of(settings)))


def parts_of(settings: PretrainSettings) -> dict[str, str]:
    """The modules that the settings choose: of the model, how it is trained, and what reads init."""
    parts = {
        **model_parts(settings.model),
        **chosen("objective", [settings.objective.type]),
        **chosen("optimizer", [settings.optimizer.type]),
    }
    config = Path(settings.init or "") / CONFIG
    if settings.init is not None and config.is_file():
        layout = str(read_object(config).get("model_type"))
        parts |= chosen("layout", {layout} & set(registry("layout")))
    return parts
