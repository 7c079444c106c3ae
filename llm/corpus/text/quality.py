"""Quality by a classifier of the user's own: a fastText model, as DCLM and FineWeb-Edu use them."""

import math
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import fasttext
import numpy as np

from llm.step import BadInput

LIBRARIES = ("fasttext-predict",)


def probabilities(texts: Iterable[str], path: str, label: str) -> np.ndarray:
    """The probability of `label` for each text (D,), NaN where a text has no words.

    Raises BadInput where the file is not a fastText classifier or does not know the label.
    """
    model = _model(path, Path(path).stat().st_mtime_ns if Path(path).exists() else 0)
    found = []
    for text in texts:
        labels, scores = model.predict(text.replace("\n", " "), k=-1)
        given = dict(zip(labels, map(float, scores), strict=True))
        if labels and label not in given:
            raise BadInput(
                f"{path} knows no label {label!r}, only {', '.join(sorted(labels)[:5])}: set "
                "clean.signals.quality_label to one of its own"
            )
        found.append(min(given.get(label, math.nan), 1.0))
    return np.array(found, np.float64)


@lru_cache(maxsize=2)
def _model(path: str, changed: int) -> Any:
    """The model; changed: when its file was (nanoseconds)."""
    try:
        return fasttext.load_model(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not a fastText model ({error}): check the path") from error
