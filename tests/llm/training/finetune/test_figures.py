"""Figures of outputs against scikit-learn, scipy and torch."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from torch.nn import functional as F

from llm.training.finetune.calibration import temperature
from llm.training.finetune.figures import (
    calibration_error,
    of_classes,
    of_labels,
    of_values,
    pearson,
)

RANDOM = np.random.default_rng(0)


def test_one_label_each() -> None:
    outputs, targets = RANDOM.normal(size=(200, 5)), RANDOM.integers(0, 4, 200)
    found = of_classes(outputs, targets)
    said = outputs.argmax(1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(targets, said))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(targets, said, average="macro"))
    chances = torch.from_numpy(outputs).softmax(1).numpy()
    expected = metrics.log_loss(targets, chances, labels=range(5))
    assert found["loss"] == pytest.approx(expected)
    targets[:20] = -1
    assert of_classes(outputs, targets)["accuracy"] == pytest.approx((said == targets).mean())


def test_several_labels_each() -> None:
    outputs, targets = RANDOM.normal(size=(200, 5)), (RANDOM.random((200, 5)) < 0.3) * 1.0
    found, said = of_labels(outputs, targets), outputs > 0
    for average in ("micro", "macro"):
        expected = metrics.f1_score(targets, said, average=average)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(targets, said))
    nats = F.binary_cross_entropy_with_logits(torch.from_numpy(outputs), torch.from_numpy(targets))
    assert found["loss"] == pytest.approx(float(nats))


def test_values() -> None:
    targets = RANDOM.integers(0, 6, (100, 2)).astype(float)  # with ties
    outputs = targets + RANDOM.normal(size=targets.shape)
    found = of_values(outputs, targets)
    assert found["loss"] == pytest.approx(metrics.mean_squared_error(targets, outputs))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(targets, outputs))
    for name, theirs in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        expected = np.mean([theirs(outputs[:, n], targets[:, n])[0] for n in range(2)])
        assert found[name] == pytest.approx(expected)
    assert pearson(np.ones(3), np.arange(3.0)) is None


def test_nothing_held_out_has_no_figures() -> None:
    for figures in (of_classes, of_labels, of_values):
        assert set(figures(np.zeros((0, 2)), np.zeros(0)).values()) == {None}


def test_calibration_error_is_the_gap_of_confidence_and_accuracy() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    expected = 4 / 6 * abs(0.95 - 0.75) + 2 / 6 * abs(0.55 - 0.5)
    assert calibration_error(confidence, right) == pytest.approx(expected)


def test_a_temperature_brings_confidence_back() -> None:
    odds = RANDOM.normal(size=(4000, 3))
    chances = torch.from_numpy(odds).softmax(1)
    targets = torch.multinomial(chances, 1, generator=torch.manual_seed(0))[:, 0].numpy()
    assert temperature(odds * 4, targets, several=False) == pytest.approx(4, rel=0.1)
    assert temperature(odds / 3, targets, several=False) == pytest.approx(1 / 3, rel=0.1)
    labels = (RANDOM.random(odds.shape) < 1 / (1 + np.exp(-odds))) * 1.0
    assert temperature(odds * 2, labels, several=True) == pytest.approx(2, rel=0.1)
