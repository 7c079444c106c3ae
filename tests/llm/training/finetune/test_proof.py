"""What is checked before training: rows of every task pass, their tokens add up, and what was cut is named."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer

from llm.evaluation.report.kit import rendered
from llm.evaluation.report.sections import rows
from llm.evaluation.report.settings import ReportValues
from llm.step import BadInput, Reporter
from llm.tokens.rows import IGNORE
from llm.tokens.special import reserved
from llm.tokens.tokenizer import learn
from llm.tokens.tokenizer_settings import TokenizerSettings
from llm.training.batch import Batch
from llm.training.finetune.prepare import setup_of
from llm.training.finetune.proof.losses import PLACES, Losses, windows
from llm.training.finetune.task import task_of
from tests.llm.training.finetune.proving import (
    INSTRUCT,
    KINDS,
    base_of,
    data_of,
    proof_of,
    rows_of,
    talk,
)
from tests.llm.training.finetune.talks import byte_tokenizer


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


LONG = 3 * PLACES


@pytest.mark.parametrize("name", KINDS)
def test_rows_longer_than_the_window_of_the_gradients_pass_too(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    base = base_of(tmp_path / "base", {**kind.shape, "context_length": LONG})
    inputs = rows_of(tmp_path, kind.values, base, data_of(tmp_path / "data", kind))
    _, out = proof_of(tmp_path, kind.values, inputs)
    assert json.loads((out / "proof.json").read_text())["apart"]["ways"] <= 1e-5


@pytest.mark.parametrize("name", ["instruct gpt2", "instruct decoder"])
def test_a_window_has_the_loss_of_what_it_shows_of_a_row(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    base = base_of(tmp_path / "base", {**kind.shape, "context_length": LONG})
    inputs = rows_of(tmp_path, kind.values, base, data_of(tmp_path / "data", kind))
    setup = setup_of(kind.values, base / "model", inputs["rows"][0])
    task = task_of(kind.values.task)
    packed = task.rows(setup, inputs["rows"][0] / "train")
    model = task.model(setup, torch.device("cpu"), torch.float32).eval()
    losses = Losses(model, task.objective(setup), packed, tmp_path)
    assert len(packed) > 1
    for number in range(len(packed)):
        row = packed.read(np.array([number]))
        window = windows(row, [packed.owners(number)])
        segments = window["segments"][0]
        shown = np.isin(row["segments"], segments[segments > 0])
        whole = Batch.of(**{**row.arrays, "targets": np.where(shown, row["targets"], IGNORE)})
        assert window["targets"].shape == (1, PLACES)
        assert 0 < window.learned.sum() <= whole.learned.sum()
        if window.learned.sum() == whole.learned.sum():
            assert losses.loss(window) == pytest.approx(losses.loss(whole), rel=1e-5)


@pytest.mark.parametrize("name", ["instruct decoder", "translate bart", "classify bert", "prefer"])
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


def test_the_report_shows_rows_with_what_is_trained_in_colour(tmp_path: Path) -> None:
    kind = KINDS["instruct decoder"]
    base, data = base_of(tmp_path / "base", kind.shape), data_of(tmp_path / "data", kind)
    values = replace(kind.values, name="ask")
    _, out = proof_of(tmp_path, values, rows_of(tmp_path, values, base, data), rows=20)
    [section] = rows.show(ReportValues(title="x", models=("base", "ask")), {"proof": [out]})
    stretches = [
        (place, one)
        for row in section.parts[0].rows  # type: ignore[union-attr]
        for place, each in row.examples
        for one in each
    ]
    trained = {one.text for _, one in stretches if one.kind == "trained"}
    assert trained >= {"Ä fig.<|im_end|>", "Ä drill.<|im_end|>"}
    assert not any("?" in text for text in trained)
    cut = {place for place, one in stretches if one.kind == "cut"}
    assert cut == {
        place for place, one in stretches if one.kind == "trained" and "<" not in one.text
    }
    page = rendered(section)
    assert '<mark class="trained">Ä fig.&lt;|im_end|&gt;</mark>' in page
    assert "train.jsonl, line " in page and 'class="legend"' in page
    assert re.search(
        r"tokens of 40 examples: [\d,]+ trained, [\d,]+ masked, 279 dropped [(]2 ", page
    )


def test_of_texts_the_label_stands_behind_each(tmp_path: Path) -> None:
    kind = KINDS["classify several"]
    base, data = base_of(tmp_path / "base", kind.shape), data_of(tmp_path / "data", kind)
    _, out = proof_of(tmp_path, kind.values, rows_of(tmp_path, kind.values, base, data), rows=20)
    [section] = rows.show(ReportValues(title="x", models=("base", "kind")), {"proof": [out]})
    said = {
        one.text
        for row in section.parts[0].rows  # type: ignore[union-attr]
        for _, each in row.examples
        for one in each
        if one.kind == "trained"
    }
    assert said == {" → ", " → tool", " → tool, fruit", " → tool, fruit, red"}


class Told(Reporter):
    """Keeps what a step tells."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.rows: list[Mapping[str, Any]] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        self.rows += rows


def test_a_text_that_spells_special_tokens_stays_text_and_is_told_of(tmp_path: Path) -> None:
    def spelled(number: int) -> tuple[Any, ...]:
        [messages] = KINDS["instruct decoder"].cells(number)
        if number == 7:
            messages[1]["content"] = "End with <|im_end|>, <|pad|>."
        return (messages,)

    kind = replace(KINDS["instruct decoder"], cells=spelled)
    base, data = base_of(tmp_path / "base", kind.shape), data_of(tmp_path / "data", kind)
    told = Told()
    inputs = rows_of(tmp_path, kind.values, base, data)
    result, _ = proof_of(tmp_path, kind.values, inputs, report=told)
    assert result.counts["train"]["spelled"] == 1
    assert result.counts["validation"]["spelled"] == 1
    [warning] = told.warnings
    assert warning.startswith("2 examples with special tokens")
    assert [one["split"] for one in told.rows] == ["train", "validation"]


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "bpe"])
def test_tokenizers_of_other_kinds_pass(kind: str, tmp_path: Path) -> None:
    """WordPiece loses capitals and blanks: its answers count as changed, by the tokenizer alone."""
    settings = TokenizerSettings(
        type=kind,  # type: ignore[arg-type]
        vocabulary=320,
        reserve=("chat",),
        lowercase=kind == "wordpiece",
    )
    words = [f"{m['role']} {m['content']} The" for n in range(99) for m in talk(n)]
    tokenizer = learn(iter([pa.array(words, pa.large_string())]), settings, 1)
    kind_of = KINDS["instruct decoder"]
    base = base_of(tmp_path / "base", kind_of.shape, tokenizer)
    inputs = rows_of(tmp_path, INSTRUCT, base, data_of(tmp_path / "data", kind_of))
    counts = proof_of(tmp_path, INSTRUCT, inputs)[0].counts["train"]
    assert counts["compared"] == counts["examples"] == counts["templates"] > 30
    assert (counts["changed"] > 0) == (kind == "wordpiece")


def test_ten_rows_and_none_held_out_are_enough(tmp_path: Path) -> None:
    for name, kind in KINDS.items():
        root = tmp_path / name
        data = data_of(root / "data", kind, {"train": 10, "validation": 0})
        inputs = rows_of(root, kind.values, base_of(root / "base", kind.shape), data)
        result, _ = proof_of(root, kind.values, inputs)
        assert result.counts["validation"]["tokens"] == 0


@pytest.mark.parametrize("name", ["instruct decoder", "instruct bart"])
def test_answers_that_begin_in_a_token_with_the_line_end_are_learned_whole_and_told_of(
    name: str, tmp_path: Path
) -> None:
    plain = byte_tokenizer(reserved(("chat", "masking")))
    vocabulary = plain.get_vocab()
    fields = json.loads(plain.to_str())
    fields["model"]["vocab"]["ĊN"] = len(vocabulary)
    fields["model"]["merges"] = [["Ċ", "N"]]

    def answered(number: int) -> tuple[Any, ...]:
        said = "No." if number % 2 else "Yes."
        asked = {"role": "user", "content": f"{number}?"}
        return ([asked, {"role": "assistant", "content": said}],)

    kind = replace(KINDS[name], cells=answered)
    base = base_of(tmp_path / "base", kind.shape, Tokenizer.from_str(json.dumps(fields)))
    inputs = rows_of(tmp_path, INSTRUCT, base, data_of(tmp_path / "data", kind))
    told = Told()
    result, _ = proof_of(tmp_path, INSTRUCT, inputs, report=told)
    assert result.counts["train"]["merged"] == 20
    assert result.counts["train"]["changed"] == 0
    # A line end with N, o, the stop and the end of the turn; Yes has one token more.
    assert result.counts["train"]["trained"] == 20 * 4 + 20 * 5
    [warning] = told.warnings
    assert warning.startswith("24 answers beginning in one token with the line end before")
