"""How good outputs for texts are: loss, accuracy, F1, calibration, correlation.

Checked against scikit-learn and scipy by the tests.
"""

from typing import Any

import numpy as np

LIBRARIES = ("numpy",)

Array = np.ndarray[Any, np.dtype[Any]]
BINS = 15  # of confidence, for the calibration error (Guo et al., arXiv 1706.04599, section 2)
UNKNOWN = -1  # the class of a label that training has none of


def probabilities(outputs: Array, several: bool) -> Array:
    """Outputs (N, labels) as probabilities: of one label each, or of each label by itself."""
    if several:
        found: Array = 1 / (1 + np.exp(-outputs))
        return found
    shifted = np.exp(outputs - outputs.max(1, keepdims=True))
    found = shifted / shifted.sum(1, keepdims=True)
    return found


def of_classes(outputs: Array, targets: Array) -> dict[str, float | None]:
    """Figures of outputs (N, labels) for class numbers (N,), UNKNOWN ones of which are wrong.

    loss: mean nats, of known classes. ece: the mean distance of confidence and accuracy.
    """
    if not len(targets):
        return dict.fromkeys(("loss", "accuracy", "macro_f1", "ece"))
    chances = probabilities(outputs, several=False)
    said, confidence = chances.argmax(1), chances.max(1)
    known = targets != UNKNOWN
    nats = -np.log(np.maximum(chances[known, targets[known]], 1e-38))
    right = said == targets
    return {
        "loss": float(nats.mean()) if known.any() else None,
        "accuracy": float(right.mean()),
        "macro_f1": _macro_f1(said, targets),
        "ece": calibration_error(confidence, right),
    }


def of_labels(outputs: Array, targets: Array) -> dict[str, float | None]:
    """Figures of outputs (N, labels) for several labels each, targets (N, labels) of 0 and 1.

    loss: mean nats a label. accuracy: the share of texts whose labels are all right.
    """
    if not len(targets):
        return dict.fromkeys(("loss", "micro_f1", "macro_f1", "accuracy", "ece"))
    chances = probabilities(outputs, several=True)
    said, wanted = chances > 0.5, targets > 0.5
    each = np.maximum(np.where(wanted, chances, 1 - chances), 1e-38)
    hits, wrong = (said & wanted).sum(0), (said != wanted).sum(0)
    confidence = np.maximum(chances, 1 - chances).ravel()
    return {
        "loss": float(-np.log(each).mean()),
        "micro_f1": float(2 * hits.sum() / max(1, 2 * hits.sum() + wrong.sum())),
        "macro_f1": float(np.mean(2 * hits / np.maximum(1, 2 * hits + wrong))),
        "accuracy": float((said == wanted).all(1).mean()),
        "ece": calibration_error(confidence, (said == wanted).ravel()),
    }


def of_values(outputs: Array, targets: Array) -> dict[str, float | None]:
    """Figures of values (N, outputs) for what they should be; loss: the mean square of the error.

    Correlations are the means over the outputs, null where one of them does not vary.
    """
    if not len(targets):
        return dict.fromkeys(("loss", "mae", "pearson", "spearman"))
    pairs = list(zip(outputs.T.astype(float), targets.T.astype(float), strict=True))
    return {
        "loss": float(np.square(outputs - targets).mean()),
        "mae": float(np.abs(outputs - targets).mean()),
        "pearson": _mean([pearson(*pair) for pair in pairs]),
        "spearman": _mean([pearson(*map(ranks, pair)) for pair in pairs]),
    }


def calibration_error(confidence: Array, right: Array) -> float:
    """The expected calibration error: BINS of confidence of equal width, weighted by their texts."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    sums = (np.bincount(bins, of.astype(float), BINS) for of in (confidence, right))
    return float(np.abs(np.subtract(*sums)).sum() / len(confidence))


def pearson(first: Array, second: Array) -> float | None:
    """The correlation of two series (N,); None where one does not vary."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    return float((first * second).sum() / scale) if scale else None


def ranks(values: Array) -> Array:
    """The rank of each value (N,), equal ones sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Array = ends - (counts - 1) / 2
    return means[inverse]


def _macro_f1(said: Array, targets: Array) -> float:
    """The mean F1 of the classes that are said or wanted, as scikit-learn has it."""
    classes = np.union1d(said, targets)
    found = []
    for one in classes:
        hits = ((said == one) & (targets == one)).sum()
        found.append(2 * hits / ((said == one).sum() + (targets == one).sum()))
    return float(np.mean(found))


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if len(there) == len(values) else None
