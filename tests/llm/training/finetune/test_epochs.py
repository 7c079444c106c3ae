"""Every row is read once an epoch, and a log that says otherwise is found out."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm.training.finetune.epochs import Epochs, check_seen

ROWS, STEPS = 7, 11


class Row:
    """Rows of which nothing but their number is asked."""

    length = 8

    def __len__(self) -> int:
        return ROWS

    def read(self, numbers: Any) -> Any:
        raise AssertionError("nothing is read")


def log(path: Path, changes: dict[int, Any] | None = None) -> Path:
    source = Epochs(Row(), 3, seed=1)
    lines = [{"step": step + 1, "windows": source.seen(step)} for step in range(STEPS)]
    for number, line in (changes or {}).items():
        lines[number] = line
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line))
    return path


def test_what_the_loop_reads_is_whole_epochs(tmp_path: Path) -> None:
    path = log(tmp_path / "seen.jsonl")
    check_seen(path, ROWS, STEPS)
    read = [row for line in path.read_text().splitlines() for row in json.loads(line)["windows"]]
    for first in range(0, len(read) - ROWS + 1, ROWS):
        assert sorted(read[first : first + ROWS]) == list(range(ROWS))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({5: None}, "has step 7 where step 6 was to come"),
        ({10: None}, "has 10 steps, and 11 were made"),
        ({4: {"step": 5, "windows": [0, 0, 0]}}, "rows were repeated or skipped"),
        ({4: {"step": 4, "windows": [0, 1, 2]}}, "has step 4 where step 5 was to come"),
    ],
)
def test_a_run_that_went_on_at_the_wrong_place_is_found_out(
    changes: dict[int, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=said):
        check_seen(log(tmp_path / "seen.jsonl", changes), ROWS, STEPS)
