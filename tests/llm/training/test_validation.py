"""The validation slice: its figure, its bytes, and that it changes nothing."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.models.encoder import Encoder
from llm.step import Inputs
from llm.tokens.shards import ShardColumns, write_shard
from llm.training.objectives.masked import Hiding, Masked
from llm.training.objectives.next_sentence import MaskedNextSentence, MaskedPairs
from llm.training.objectives.next_token import NextToken
from llm.training.objectives.span_corruption import SpanCorruption
from llm.training.ranks.rank import Group
from llm.training.validation import ROWS, Slice, ValidationWindows
from tests.llm.training.runs import VOCABULARY, Zygote, outcome, prepared, tiny_settings


def write_validation(folder: Path, lengths: list[int], seed: int = 0) -> np.ndarray:
    """Documents of so many tokens and three times as many bytes."""
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, sum(lengths)).astype(np.uint16)
    columns = ShardColumns(
        doc_ids=[bytes(16)] * len(lengths),
        sources=["docs"] * len(lengths),
        sizes=[3 * length for length in lengths],
        lengths=lengths,
        tokens=ids,
    )
    folder.mkdir(exist_ok=True)
    write_shard(folder / "validation.arrow", columns, {"tokenizer": "test"})
    return ids


def test_bits_per_byte_is_that_of_torchs_cross_entropy(tmp_path: Path) -> None:
    ids = write_validation(tmp_path, [100, 250]).astype(np.int64)
    windows = ValidationWindows([tmp_path / "validation.arrow"], 10_000, 16)
    count = 349 // 16
    assert len(windows.rows) == count and windows.bytes == pytest.approx(3 * count * 16)
    model = Decoder(tiny_settings().model.resolve(VOCABULARY))
    model.initialise(3)
    found = Slice(windows, windows.steps, windows.bytes, 1, Group()).measure(
        model, partial(NextToken().loss, model)
    )
    rows = torch.from_numpy(np.stack([ids[i * 16 : i * 16 + 17] for i in range(count)]))
    with torch.no_grad():
        logits = model(rows[:, :-1]).flatten(0, 1)
    expected = F.cross_entropy(logits, rows[:, 1:].flatten()).item()
    assert found["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert found["validation_bits_per_byte"] == pytest.approx(expected / math.log(2) / 3, rel=1e-5)
    assert model.training


def test_a_document_that_is_cut_counts_in_proportion(tmp_path: Path) -> None:
    write_validation(tmp_path, [100, 250])
    windows = ValidationWindows([tmp_path / "validation.arrow"], 161, 16)
    assert len(windows.rows) == 10 and windows.bytes == pytest.approx(3 * 160)


def test_a_split_without_a_window_has_no_rows(tmp_path: Path) -> None:
    write_validation(tmp_path, [10])
    paths = [tmp_path / "validation.arrow", tmp_path / "missing.arrow"]
    assert ValidationWindows(paths, 1000, 16).steps == 0


def test_measuring_changes_no_bit_and_is_the_same_on_any_number_of_processes(
    zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    plain = prepared(tiny_settings(), inputs, tmp_path / "plain")
    assert zygote.run(1, plain) == [0]
    write_validation(tmp_path / "held-out", [300])
    figures = []
    for processes in (1, 2):
        job = prepared(tiny_settings(validate_every=5), inputs, tmp_path / str(processes))
        values = json.loads(job.read_text())
        values["validation"] = [str(tmp_path / "held-out" / "validation.arrow")]
        job.write_text(json.dumps(values))
        assert zygote.run(processes, job) == [0] * processes
        assert outcome(job.parent) == outcome(plain.parent)
        lines = [json.loads(line) for line in (job.parent / "metrics.jsonl").open()]
        figures.append(
            {
                line["step"]: line["validation_bits_per_byte"]
                for line in lines
                if "validation_loss" in line
            }
        )
    assert list(figures[0]) == [5, 10, 12]
    assert figures[0] == figures[1]


def masked_pairs(windows: ValidationWindows) -> MaskedPairs:
    words = np.arange(10, VOCABULARY)
    return MaskedPairs(windows, ROWS, 1, Hiding(rate=0.15, mask=0, words=words), 1, 2)


def test_the_loss_of_pairs_has_both_terms_as_in_training(tmp_path: Path) -> None:
    """Against torch's cross-entropies: 11 windows, so that the last step has fewer than the first."""
    write_validation(tmp_path, [11 * 16 + 1])
    windows = ValidationWindows([tmp_path / "validation.arrow"], 10_000, 16)
    assert (len(windows.rows), windows.steps) == (11, 2)
    source = masked_pairs(windows)
    settings = ModelSettings(
        preset="bert", layers=1, d_model=32, heads=2, hidden=64, context_length=16, dropout=0.0
    )
    model = Encoder(settings.resolve(VOCABULARY))
    model.initialise(3)
    objective = MaskedNextSentence(source.hiding, 1, 2, 1)
    measured = Slice(source, windows.steps, None, 1, Group())
    found = measured.measure(model, partial(objective.loss, model))["validation_loss"]
    total, count = 0.0, 0
    with torch.no_grad():
        for step in range(2):
            rows = source.part(step, 0, 1)
            tokens, targets, types, pairs = (
                torch.from_numpy(values)
                for values in (rows[name] for name in ("tokens", "targets", "types", "pairs"))
            )
            logits = model.eval()(tokens, None, types).flatten(0, 1)
            total += F.cross_entropy(logits, targets.flatten(), reduction="sum").item()
            follows = model.follows(tokens, None, types)
            each = F.cross_entropy(follows, 1 - pairs, reduction="sum").item()
            total += objective.pair_weight(16) * each
            count += int((targets != -100).sum())
    assert found == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("make", [Masked, SpanCorruption], ids=["masked", "spans"])
def test_a_last_step_with_fewer_rows_is_read(tmp_path: Path, make: Any) -> None:
    write_validation(tmp_path, [11 * 16 + 1])
    windows = ValidationWindows([tmp_path / "validation.arrow"], 10_000, 16)
    if make is Masked:
        source = Masked(windows, ROWS, 1, Hiding(rate=0.15, mask=0, words=np.arange(9, VOCABULARY)))
    else:
        source = SpanCorruption(windows, ROWS, 1, 0.15, 3.0, list(range(8)), 0)
    assert [len(source.part(step, 0, 1)) for step in range(2)] == [8, 3]


def test_no_window_stands_behind_itself_as_another(tmp_path: Path) -> None:
    """The second halves that are random come from other windows, behind the last ones too."""
    write_validation(tmp_path, [8 * 16 + 1])
    windows = ValidationWindows([tmp_path / "validation.arrow"], 10_000, 16)
    here, there = (windows.part(step, 0, 1)["tokens"] for step in (0, 1))
    assert sorted(map(tuple, here)) == sorted(map(tuple, there))
    assert not (here == there).all(axis=1).any()
