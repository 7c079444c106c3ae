"""Quality: which model is asked. What a real classifier says is fastText's matter."""

import os
from pathlib import Path

import pytest

from llm.corpus.text import quality
from llm.step import BadInput


class Constant:
    """A classifier that is always equally sure."""

    def __init__(self, path: str) -> None:
        self.score = float(Path(path).read_text())

    def predict(self, text: str, k: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
        return ("__label__hq", "__label__lq"), (self.score, 1 - self.score)


def test_a_model_that_was_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality.fasttext, "load_model", Constant)
    path = tmp_path / "m.bin"
    for number, score in enumerate((0.25, 0.75)):
        path.write_text(str(score))
        os.utime(path, ns=(number, number))
        assert quality.probabilities(["text"], str(path), "__label__hq").tolist() == [score]


def test_a_label_the_model_does_not_know_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality.fasttext, "load_model", Constant)
    path = tmp_path / "m.bin"
    path.write_text("0.5")
    with pytest.raises(BadInput, match="no label '__label__good', only __label__hq"):
        quality.probabilities(["text"], str(path), "__label__good")


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.bin"
    path.write_bytes(b"no model")
    with pytest.raises(BadInput, match=r"odd\.bin is not a fastText model"):
        quality.probabilities(["text"], str(path), "__label__hq")
