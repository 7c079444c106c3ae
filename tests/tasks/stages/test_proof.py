"""What proves the rows of a task again, and what trains a model again: neither without a reason."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llm.step import BadInput
from llm.tokens.rows import IGNORE
from llm.training.batch import Batch
from llm.training.finetune.packed import Packed

Go = Callable[..., tuple]
PROVE, TUNE = "prove ask-docs", "finetune ask-docs"


def test_another_learning_rate_proves_nothing_again(go: Go) -> None:
    ran, _, _ = go("finetune.0.schedule.peak_lr=0.0007", until="finetune")
    assert ran == {TUNE}


def test_more_that_is_looked_at_trains_nothing_again(go: Go) -> None:
    ran, _, _ = go("finetune.0.proof.rows=2", until="finetune")
    assert ran == {PROVE}


def test_an_edited_check_trains_nothing_again(go: Go, code: Path) -> None:
    path = code / "training/finetune/proof/texts.py"
    path.write_text(path.read_text().replace("SHOWN = 60", "SHOWN = 61"))
    ran, _, _ = go(until="finetune")
    assert ran == {PROVE}


def test_rows_that_are_not_proved_are_not_trained_on(
    go: Go, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is in the code that training reads rows with: the model of before is not taken either."""
    read = Packed.read

    def masked(self: Packed, numbers: object) -> Batch:
        found = read(self, numbers)  # type: ignore[arg-type]
        found["targets"][:] = IGNORE
        return found

    monkeypatch.setattr(Packed, "read", masked)
    path = code / "training/finetune/packed.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")
    with pytest.raises(BadInput, match=r"row 0 of train: nothing of it is learned. Nothing was"):
        go("finetune.0.steps=5", until="finetune")
