"""The models of a recipe, by name: its champion's, or its newest run's."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from llm.runs import RunRecord
from llm.step import BadInput
from llm.store import Reference
from tasks.engine.home import Home
from tasks.stages.promote import champion_pointer, tuned_models

BASE = "base"


@dataclasses.dataclass(frozen=True)
class Models:
    """The models of a recipe: the base model, and the tuned ones by name in the recipe's order."""

    recipe: str
    base: Reference | None
    tuned: Mapping[str, Reference]

    @property
    def named(self) -> dict[str, Reference]:
        """All of them."""
        return {**({} if self.base is None else {BASE: self.base}), **self.tuned}


def models_of(home: Home, recipe: str | None) -> Models:
    """The models of a recipe, none: of the one last run. Raises BadInput where there are none.

    The champion's; a name that it does not have is its newest run's.
    """
    for head in home.runs.heads():
        if head.problem or recipe not in (None, head.recipe):
            continue
        newest = _newest(home, head.recipe)
        champion = home.runs.pointer(champion_pointer(head.recipe))
        if champion is not None:
            tuned = dict(tuned_models(champion))
            more = {name: model for name, model in newest.tuned.items() if name not in tuned}
            return Models(head.recipe, Reference.from_json(champion["base"]), {**tuned, **more})
        if newest.named:
            return newest
    of = f" of {recipe}" if recipe else ""
    raise BadInput(f"no model{of} yet: run `penstock run demo`, or name a folder with --model")


def _newest(home: Home, recipe: str) -> Models:
    def models(stage: str) -> dict[str, Reference]:
        record: RunRecord | None = home.runs.newest(recipe, stage)
        return {} if record is None else (record.outputs(stage) or {}).get("model", {})

    return Models(recipe, models("pretrain").get(BASE), models("finetune"))


def find_model(home: Home, kind: str, given: str | None, recipe: str | None) -> tuple[Path, str]:
    """The folder of a model, and a word on which it is where there was a choice.

    kind: "base" or "tuned". given: a model folder, or a model's name; none: the base model, or the
    first tuned one. Raises BadInput.
    """
    if given is not None and ("/" in given or Path(given).is_dir()):
        if not (Path(given) / "config.json").is_file():
            raise BadInput(f"{given} is not a model folder: it has no config.json")
        return Path(given), ""
    models = models_of(home, recipe)
    if given is not None:
        if given not in models.named:
            raise BadInput(
                f"{models.recipe} has no model {given!r}, and there is no such folder: its models "
                f"are {', '.join(models.named)}"
            )
        return _folder(home, models.named[given]), ""
    if kind == BASE and models.base is not None:
        return _folder(home, models.base), ""
    if kind == BASE or not models.tuned:
        raise BadInput(
            f"{models.recipe} has no {kind} model yet: run `penstock run {models.recipe}`, or name "
            "a folder with --model"
        )
    first, *others = models.tuned
    said = f"{first}; others: {', '.join(others)} (--model NAME)" if others else ""
    return _folder(home, models.tuned[first]), said


def _folder(home: Home, model: Reference) -> Path:
    return home.store.local(model) / "model"
