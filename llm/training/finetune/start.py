"""What a task starts from: the recipe's base model, the result of an earlier task, or a model folder.

Read by recipes, plans and wiring alone: config.json says enough, so nothing here imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llm.located import written
from llm.models.layouts.fields import named, read_object
from llm.models.layouts.outputs import read_outputs
from llm.parts import chosen, load, registry
from llm.step import BadInput

if TYPE_CHECKING:
    from llm.models.config import ModelConfig
    from llm.training.finetune.settings import FinetuneSettings


@dataclass(frozen=True)
class Start:
    """A model folder by its config.json. layout: of the file; parts: the modules that read it."""

    folder: Path
    config: "ModelConfig"
    layout: str

    @property
    def parts(self) -> dict[str, str]:
        """What a call names that reads or writes the model."""
        return {
            **chosen("architecture", [self.config.architecture]),
            **chosen("layout", [self.layout]),
        }


class Named(Protocol):
    """A task of a recipe, as far as is asked here."""

    name: str
    init: str | None


def is_folder(init: str) -> bool:
    """Whether it is a path, and not the name of an earlier task."""
    return "/" in init or init.startswith(("~", "."))


def read(init: str) -> Start:
    """The model of a folder. Raises BadInput naming the file and the field that cannot be done."""
    folder = Path(init).expanduser()
    path = folder / "config.json"
    if not path.is_file():
        raise BadInput(f"{written(init)} is not a model folder: it has no config.json")
    fields = read_object(path)
    layout = fields.get("model_type")
    named(path, "model_type", layout, registry("layout"))
    config = load("layout", str(layout)).read_config(path, fields)
    if read_outputs(path, fields, config.architecture) is not None:
        raise BadInput(
            f"{written(init)} holds a model that says labels or values of texts: start from one that says tokens"
        )
    return Start(folder, config, str(layout))


def root_of(tasks: "Sequence[FinetuneSettings]", values: "FinetuneSettings") -> str | None:
    """The folder that a task's chain of earlier tasks begins with; None: the recipe's base model.

    Names of no earlier task count as the base model: the recipe's rules tell of them.
    """
    earlier = {one.name: one for one in tasks[: list(tasks).index(values)]}
    init = values.init
    if init is None or is_folder(init):
        return init
    return root_of(tasks, earlier[init]) if init in earlier else None
