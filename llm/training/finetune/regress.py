"""The task regress: one value or several of a text, such as how alike two sentences are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm.examples.settings import VALUE
from llm.settings import section, setting
from llm.step import BadInput, Reporter
from llm.training.finetune.of_texts import OfTexts, OfTextsSettings
from llm.training.finetune.task import Base, Setup
from llm.words import counted

if TYPE_CHECKING:
    import numpy as np

    from llm.models.config import Outputs, Pooling
    from llm.models.language_model import LanguageModel
    from llm.training.objectives.of_texts import HiddenTokens, TextLoss


@section
class RegressSettings(OfTextsSettings):
    """A base model learns to say values of a text."""

    task: Literal["regress"] = setting(
        description="Kind of task: regress learns a value of texts, or of pairs of them, or several values."
    )
    names: tuple[str, ...] = setting(
        default=(),
        description="What the values are called in the model folder; none: value, or value_0, value_1 and so on.",
    )


class Regress(OfTexts):
    """Values are learned in units of their spread in training, and said in their own."""

    settings = RegressSettings
    said = VALUE
    chosen_by = "pearson"

    def facts(self, values: RegressSettings, shard: Path, base: Base) -> Mapping[str, Any]:
        """names of the values, and of each its mean, spread, least and most in training."""
        import numpy as np

        from llm.examples.shards import Shard

        found: list[list[float]] = []
        for chunk in Shard.open(shard).chunks((self.said,)):
            for example in chunk:
                [cell] = example.cells
                if found and len(cell) != len(found[0]):
                    raise BadInput(
                        f"finetune {values.name}: {example.file}, line {example.line} has "
                        f"{counted(len(cell), 'value')}, and the first example {len(found[0])}: all must have "
                        "as many"
                    )
                found.append(cell)
        cells = np.array(found)
        spread = cells.std(0)
        if not spread.all():
            raise BadInput(
                f"finetune {values.name}: all training examples have the same value "
                f"{cells[0][int(spread.argmin())]:g}: there is nothing to learn"
            )
        count = cells.shape[1]
        names = list(values.names) or (
            ["value"] if count == 1 else [f"value_{number}" for number in range(count)]
        )
        if len(names) != count:
            raise BadInput(
                f"finetune {values.name}: names has {len(names)}, and the examples have "
                f"{counted(count, 'value')}"
            )
        return {
            "names": names,
            "mean": cells.mean(0).tolist(),
            "spread": spread.tolist(),
            "least": cells.min(0).tolist(),
            "most": cells.max(0).tolist(),
        }

    def outputs(self, setup: Setup, pooling: "Pooling") -> "Outputs":
        """One for each value."""
        from llm.models.config import Outputs

        return Outputs(problem="regression", labels=tuple(setup.facts["names"]), pooling=pooling)

    def targets(
        self, setup: Setup, cells: Sequence[list[float]], report: Reporter, split: str
    ) -> "tuple[np.ndarray, np.ndarray]":
        """The values in units of their spread, (N, values)."""
        import numpy as np

        count = len(setup.facts["names"])
        wrong = next((cell for cell in cells if len(cell) != count), None)
        if wrong is not None:
            raise BadInput(
                f"finetune {setup.values.name}: an example for {split} has {counted(len(wrong), 'value')}, and "
                f"those for training {count}"
            )
        middle, spread = self._scale(setup)
        found = (np.array(cells, float).reshape(-1, count) - middle) / spread
        return found.astype(np.float32), np.ones(len(cells))

    def target_of(self, setup: Setup, folder: Path) -> Callable[[list[float]], Any]:
        """The values less their mean, where the head has a bias, in units of their spread."""
        middle, spread = self._scale(setup)
        return lambda cell: [
            (value - one) / unit for value, one, unit in zip(cell, middle, spread, strict=True)
        ]

    def _scale(self, setup: Setup) -> "tuple[np.ndarray, np.ndarray]":
        """What is taken from values, and what they are divided by; a head without biases adds nothing."""
        import numpy as np

        biased = setup.base.config.architecture != "decoder"
        middle = np.array(setup.facts["mean"]) * biased
        return middle, np.array(setup.facts["spread"])

    def loss(self, setup: Setup, hiding: "HiddenTokens | None") -> "TextLoss":
        """The square of the error."""
        from llm.training.objectives.of_texts import TextLoss

        return TextLoss("regression", hiding=hiding)

    def figures(
        self, setup: Setup, outputs: "np.ndarray", targets: "np.ndarray"
    ) -> Mapping[str, float | None]:
        """The error in the values' own units, and the correlations."""
        from llm.training.finetune.figures import of_values

        middle, spread = self._scale(setup)
        return of_values(outputs * spread + middle, targets * spread + middle)

    def save(self, setup: Setup, model: "LanguageModel", folder: Path) -> None:
        """Write the model; its head says the values in their own units."""
        import torch

        assert model.output_head is not None, "the task made the model"
        middle, spread = (torch.tensor(one, dtype=torch.float32) for one in self._scale(setup))
        classifier = model.output_head.classifier
        with torch.no_grad():
            classifier.weight.mul_(spread[:, None].to(classifier.weight.device))
            if classifier.bias is not None:
                device = classifier.bias.device
                classifier.bias.mul_(spread.to(device)).add_(middle.to(device))
        super().save(setup, model, folder)
