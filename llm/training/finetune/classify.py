"""The task classify: which label a text has, or which labels, of those that training has."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm.examples.settings import LABEL
from llm.settings import section, setting
from llm.step import BadInput, Reporter
from llm.training.finetune.of_texts import OfTexts, OfTextsSettings
from llm.training.finetune.task import Base, Setup
from llm.words import counted

if TYPE_CHECKING:
    import numpy as np

    from llm.models.config import Outputs, Pooling
    from llm.models.language_model import LanguageModel
    from llm.training.finetune.texts import TextRows
    from llm.training.objectives.of_texts import HiddenTokens, TextLoss

FEWEST = 50  # held-out texts from which a temperature is fitted


@section
class ClassifySettings(OfTextsSettings):
    """A base model learns to say which label a text has."""

    task: Literal["classify"] = setting(
        description="Kind of task: classify learns the labels of texts, or of pairs of them."
    )
    labels: Literal["one", "several"] | None = setting(
        default=None,
        description="Whether a text has one label or several; none: several where a training text has not "
        "just one.",
    )
    class_weights: Literal["balanced"] | Mapping[str, float] | None = setting(
        default=None,
        description="How much texts count by their label: balanced, so that all labels count as much, or a "
        "weight by label (others: 1); none: every text counts 1.",
    )
    label_smoothing: float = setting(
        default=0.1,
        description="Share of a label's probability that is spread over all labels (0 to 1).",
        ge=0,
        lt=1,
        shapes=False,
    )


class Classify(OfTexts):
    """The labels are those of the training examples, by name; the model folder has their names."""

    settings = ClassifySettings
    said = LABEL
    chosen_by = "accuracy"

    def facts(self, values: ClassifySettings, shard: Path, base: Base) -> Mapping[str, Any]:
        """labels: their names; counts: how many training texts have each; problem: as transformers has it."""
        from llm.examples.shards import Shard

        counts: Counter[str] = Counter()
        several = values.labels == "several"
        for chunk in Shard.open(shard).chunks((self.said,)):
            for example in chunk:
                [labels] = example.cells
                counts.update(set(labels))
                several = several or (values.labels is None and len(set(labels)) != 1)
                if values.labels == "one" and len(set(labels)) != 1:
                    raise BadInput(
                        f"finetune {values.name}: {example.file}, line {example.line} has "
                        f"{counted(len(labels), 'label')}, and labels is one: set it to several"
                    )
        names = sorted(counts)
        if len(names) < (1 if several else 2):
            there = f"only the label {names[0]!r}" if names else "no label"
            raise BadInput(
                f"finetune {values.name}: the training examples have {there}: a classifier needs two or more"
            )
        if isinstance(values.class_weights, Mapping):
            unknown = [name for name in values.class_weights if name not in counts]
            if unknown:
                raise BadInput(
                    f"finetune {values.name}: class_weights names {unknown[0]!r}, and no training example "
                    f"has that label; there are: {', '.join(names[:20])}"
                )
        problem = "multi_label_classification" if several else "single_label_classification"
        return {"problem": problem, "labels": names, "counts": [counts[name] for name in names]}

    def outputs(self, setup: Setup, pooling: "Pooling") -> "Outputs":
        """One for each label."""
        from llm.models.config import Outputs

        facts = setup.facts
        return Outputs(problem=facts["problem"], labels=tuple(facts["labels"]), pooling=pooling)

    def targets(
        self, setup: Setup, cells: Sequence[list[str]], report: Reporter, split: str
    ) -> "tuple[np.ndarray, np.ndarray]":
        """Class numbers (N,), or 0 and 1 for each label (N, labels); the user is warned of unknown labels."""
        import numpy as np

        from llm.training.finetune.figures import UNKNOWN

        names = {name: number for number, name in enumerate(setup.facts["labels"])}
        unknown = Counter(name for cell in cells for name in set(cell) if name not in names)
        if unknown:
            shown = ", ".join(f"{name!r} ({number})" for name, number in unknown.most_common(3))
            report.warning(
                f"{counted(unknown.total(), 'example')} for {split} with labels that no training example has: "
                f"{shown}; predictions for them count as wrong"
            )
        each = self._weights(setup)
        if not is_several(setup):
            single = np.array(
                [names.get(cell[0], UNKNOWN) if cell else UNKNOWN for cell in cells], np.int64
            )
            return single, np.where(single == UNKNOWN, 0.0, each[single])
        found = np.zeros((len(cells), len(names)), np.float32)
        weights = np.ones(len(cells))
        for row, cell in enumerate(cells):
            known = [names[name] for name in cell if name in names]
            found[row, known] = 1
            if known:
                weights[row] = each[known].mean()
        return found, weights

    def _weights(self, setup: Setup) -> "np.ndarray":
        import numpy as np

        facts, wanted = setup.facts, setup.values.class_weights
        counts = np.array(facts["counts"], float)
        if wanted == "balanced":
            found: np.ndarray = counts.sum() / (len(counts) * counts)
            return found
        given = wanted if isinstance(wanted, Mapping) else {}
        return np.array([float(given.get(name, 1.0)) for name in facts["labels"]])

    def target_of(self, setup: Setup, folder: Path) -> Callable[[list[str]], Any]:
        """The numbers that the folder's config.json gives the labels."""
        from llm.models.layouts.fields import read_object
        from llm.training.finetune.figures import UNKNOWN

        named = read_object(folder / "config.json")["id2label"]
        numbers = {name: int(number) for number, name in named.items()}
        if is_several(setup):
            order = sorted(numbers, key=numbers.__getitem__)
            return lambda cell: [float(name in cell) for name in order]
        return lambda cell: numbers.get(cell[0], UNKNOWN) if cell else UNKNOWN

    def loss(self, setup: Setup, hiding: "HiddenTokens | None") -> "TextLoss":
        """Nats of the labels."""
        from llm.training.objectives.of_texts import TextLoss

        return TextLoss(setup.facts["problem"], setup.values.label_smoothing, hiding)

    def figures(
        self, setup: Setup, outputs: "np.ndarray", targets: "np.ndarray"
    ) -> Mapping[str, float | None]:
        """Loss, accuracy and F1, and how far confidence is from accuracy."""
        from llm.training.finetune.figures import of_classes, of_labels

        return (of_labels if is_several(setup) else of_classes)(outputs, targets)

    def finish(
        self, setup: Setup, model: "LanguageModel", held_out: "TextRows"
    ) -> Mapping[str, float]:
        """Fit a temperature on held-out texts, and make it part of the head's weights.

        Guo et al., arXiv 1706.04599, section 4.2: the label that is said stays the same.
        """
        import torch

        from llm.training.finetune.calibration import temperature
        from llm.training.finetune.of_texts import collect

        outputs, targets = collect(model, held_out)
        if len(outputs) < FEWEST:
            return {}
        found = temperature(outputs, targets, is_several(setup))
        assert model.output_head is not None, "the task made the model"
        with torch.no_grad():
            for parameter in model.output_head.classifier.parameters():
                parameter.div_(found)
        before = self.figures(setup, outputs, targets)["ece"]
        return {"temperature": found, "ece_before": before or 0.0}


def is_several(setup: Setup) -> bool:
    """Whether a text may have several labels."""
    several: bool = setup.facts["problem"] == "multi_label_classification"
    return several
