"""Labels and values from a model folder, for texts and pairs of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from llm.training.finetune.figures import probabilities
from llm.training.finetune.predicting import load_predictor, outputs_of

SHOWN = 5  # labels whose probabilities are given


class Predictor:
    """A loaded model that says labels or values. Raises BadInput for a folder of another model."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.model, self.tokenizer = load_predictor(folder, torch.device(device))
        assert self.model.config.outputs is not None, "load_predictor sees to it"
        self.outputs = self.model.config.outputs

    def predict(self, pairs: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """What it says of each text with what stands behind it ("": it stands alone).

        label and the probabilities of the likeliest; labels, of a model that says several; or values.
        """
        found = outputs_of(self.model, self.tokenizer, pairs)
        names = self.outputs.labels
        if self.outputs.problem == "regression":
            for row in found.tolist():
                yield {"values": dict(zip(names, row, strict=True))}
            return
        several = self.outputs.problem == "multi_label_classification"
        for row in probabilities(found, several):
            order = (-row).argsort(kind="stable").tolist()
            likeliest = {names[place]: round(float(row[place]), 4) for place in order[:SHOWN]}
            if several:
                said = [
                    name for name, chance in zip(names, row.tolist(), strict=True) if chance > 0.5
                ]
                yield {"labels": said, "probabilities": likeliest}
            else:
                yield {"label": names[order[0]], "probabilities": likeliest}
