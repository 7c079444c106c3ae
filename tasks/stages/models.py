"""Which modules a call needs to make or to read a model: its architecture and its layout."""

import dataclasses
from collections.abc import Sequence

from llm.models.config import ModelSettings
from llm.models.config import Outputs as ModelOutputs
from llm.models.layouts.choose import misfits
from llm.models.layouts.outputs import POOLING
from llm.models.layouts.own import MODEL_TYPE
from llm.parts import chosen, registry
from llm.store import Reference
from tasks.engine.run import Run
from tasks.engine.verdict import as_of_today


def model_parts(model: ModelSettings) -> dict[str, str]:
    """The parts of a model of a recipe, as pretraining makes it and all that follows reads it."""
    return _parts([model.architecture], [str(model.export)])


def parts_of_made(run: Run, model: Reference) -> dict[str, str]:
    """The parts of a model that an earlier run made: every one there is where its record is too old."""
    settings = _recorded(run, model)
    if settings is None:
        return _parts(tuple(registry("architecture")), tuple(registry("layout")))
    return model_parts(settings)


def layout_notes(model: ModelSettings, writes: bool = True) -> tuple[str, ...]:
    """That transformers has no class for a model, where it has none. writes: or it says labels or values."""
    config = model.resolve(vocabulary=1)
    if not writes:
        pooling = POOLING[model.architecture]
        said = ModelOutputs(problem="regression", labels=("value",), pooling=pooling)
        config = dataclasses.replace(config, outputs=said)
    if config.export != MODEL_TYPE and not misfits(config, str(config.export)):
        return ()
    return ("its folder is in Penstock's own layout: transformers has no class for such a model",)


def architecture_of_made(run: Run, model: Reference) -> str | None:
    """What a model that an earlier run made is; None where its record is too old to say."""
    settings = _recorded(run, model)
    return None if settings is None else settings.architecture


def _recorded(run: Run, model: Reference) -> ModelSettings | None:
    """What a model's manifest says of its shape: a tuned one's, that of the model it began with."""
    artifact = run.store.read(model.step, model.key)
    manifest = artifact.manifest if artifact is not None else {}
    recorded = manifest.get("values", {}).get("model")
    if isinstance(recorded, dict):
        return as_of_today(ModelSettings, recorded)
    base = manifest.get("inputs", {}).get("model", ())
    return _recorded(run, Reference.from_json(base[0])) if base else None


def _parts(architectures: Sequence[str], layouts: Sequence[str]) -> dict[str, str]:
    return {**chosen("architecture", architectures), **chosen("layout", layouts)}
