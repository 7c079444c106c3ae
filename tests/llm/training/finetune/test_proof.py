"""What is checked before training: rows of every task pass, their tokens add up, and what was cut is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm.step import BadInput
from tests.llm.training.finetune.proving import (
    KINDS,
    base_of,
    data_of,
    proof_of,
    rows_of,
)


@pytest.mark.parametrize("name", KINDS)
def test_rows_of_every_task_pass_and_their_tokens_add_up(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    base, data = base_of(tmp_path / "base", kind.shape), data_of(tmp_path / "data", kind)
    inputs = rows_of(tmp_path, kind.values, base, data)
    result, out = proof_of(tmp_path, kind.values, inputs)
    for split, examples in (("train", 40), ("validation", 9)):
        counts = result.counts[split]
        assert counts["tokens"] == counts["trained"] + counts["masked"] + counts["dropped"]
        assert counts["compared"] == counts["examples"] >= examples
        assert counts["rows"] < counts["examples"], "several examples share a row"
    lost = [json.loads(line) for line in (out / "left-out.jsonl").read_text().splitlines()]
    assert sum(one["dropped"] for one in lost) == sum(
        counts["dropped"] for counts in result.counts.values()
    )
    long = {("train.jsonl", n + 1) for n in range(40) if n % 9 == 8 and n % 4 not in (1, 2)}
    found = {(one["file"], one["line"]) for one in lost if one["split"] == "train"}
    assert found == (long if name.startswith("instruct") else set())
    apart = json.loads((out / "proof.json").read_text())["apart"]
    assert max(apart.values()) <= 1e-5


@pytest.mark.parametrize("name", ["instruct decoder", "translate bart", "classify bert"])
def test_a_row_that_says_something_else_is_named_by_file_line_and_row(
    name: str, tmp_path: Path
) -> None:
    kind = KINDS[name]
    base, data = base_of(tmp_path / "base", kind.shape), data_of(tmp_path / "data", kind)
    inputs = rows_of(tmp_path, kind.values, base, data)

    def changed(number: int) -> tuple[Any, ...]:
        return kind.cells(3 if number == 5 else number)

    other = data_of(tmp_path / "other", replace(kind, cells=changed))
    with pytest.raises(BadInput, match=r"train\.jsonl, line 6, row \d+ of train: "):
        proof_of(tmp_path, kind.values, {**inputs, "data": [other]})
