"""Promotion: only what is better beyond chance, on the same documents, and always with a reason."""

import json
from pathlib import Path

import numpy as np
import pytest

from llm.evaluation.promote import PromoteSettings, decide
from llm.evaluation.result import rows, write
from llm.evaluation.suite import BITS_PER_BYTE, Kind
from llm.step import BadInput, Context

RANDOM = np.random.default_rng(7)
SIZES = RANDOM.integers(500, 9000, 40)
BITS = SIZES * RANDOM.normal(2.1, 0.3, 40)


def artifact(
    folder: Path,
    bits: np.ndarray,
    first: int = 0,
    source: str = "docs",
    kind: Kind = BITS_PER_BYTE,
) -> Path:
    """A result whose document n has bits[n] on SIZES[n] bytes."""
    names = [(first + n).to_bytes(16, "big").hex() for n in range(len(bits))]
    sizes = SIZES[: len(bits)].tolist()
    table = rows(kind.name, names, [source] * len(bits), bits.tolist(), sizes)
    folder.mkdir()
    write(Context(out=folder, work=folder), "x", (kind,), [table], "as in the test")
    return folder


def decision(context: Context, candidate: Path, champion: Path | None, **fields: object) -> dict:
    inputs = {"candidate": [candidate], "champion": [champion] if champion else []}
    decide(PromoteSettings(**fields), inputs, context)
    return json.loads((context.out / "decision.json").read_text())


def test_the_first_model_is_promoted(tmp_path: Path, context: Context) -> None:
    result = decision(context, artifact(tmp_path / "a", BITS), None)
    assert result["promote"] is True
    assert result["reason"] == "no champion yet"
    assert result["candidate"] == pytest.approx(BITS.sum() / SIZES.sum(), rel=1e-12)


def test_a_model_that_is_better_on_all_documents_is_promoted(
    tmp_path: Path, context: Context
) -> None:
    better = BITS - SIZES * RANDOM.normal(0.02, 0.01, 40)
    result = decision(context, artifact(tmp_path / "a", better), artifact(tmp_path / "b", BITS))
    assert result["promote"] is True
    assert result["difference"] < result["bound"] < 0
    assert "better" in result["reason"]


def test_a_worse_model_stays_out_and_the_reason_has_both_figures(
    tmp_path: Path, context: Context
) -> None:
    result = decision(context, artifact(tmp_path / "a", BITS + 50), artifact(tmp_path / "b", BITS))
    assert result["promote"] is False
    assert result["reason"].startswith("not better")
    assert (
        f"{result['candidate']:.4f} against the champion's {result['champion']:.4f}"
        in (result["reason"])
    )


def test_a_gain_within_chance_is_not_enough(tmp_path: Path, context: Context) -> None:
    noise = RANDOM.normal(0, 0.05, 40)
    noise -= noise.mean() + 0.001
    result = decision(
        context, artifact(tmp_path / "a", BITS + SIZES * noise), artifact(tmp_path / "b", BITS)
    )
    assert result["promote"] is False
    assert result["bound"] > 0


def test_a_tie_keeps_the_champion(tmp_path: Path, context: Context) -> None:
    result = decision(context, artifact(tmp_path / "a", BITS), artifact(tmp_path / "b", BITS))
    assert result["promote"] is False
    assert "the same as the champion on every item" in result["reason"]


def test_a_champion_measured_on_other_documents_is_an_error(
    tmp_path: Path, context: Context
) -> None:
    with pytest.raises(ValueError, match="has not been measured on these items"):
        decision(context, artifact(tmp_path / "a", BITS), artifact(tmp_path / "b", BITS, first=3))


def test_an_unknown_source_in_the_metric_names_the_ones_there_are(
    tmp_path: Path, context: Context
) -> None:
    candidate = artifact(tmp_path / "a", BITS)
    assert decision(context, candidate, None, metric="perplexity.base.bits_per_byte.docs")[
        "promote"
    ]
    with pytest.raises(BadInput, match=r"'news'; there are 'docs'"):
        decision(context, candidate, None, metric="perplexity.base.bits_per_byte.news")


def test_two_documents_cannot_show_anything(tmp_path: Path, context: Context) -> None:
    result = decision(
        context, artifact(tmp_path / "a", BITS[:2] - 9), artifact(tmp_path / "b", BITS[:2])
    )
    assert result["promote"] is False
    assert "too few" in result["reason"]


def test_where_higher_is_better_a_higher_figure_is_promoted(
    tmp_path: Path, context: Context
) -> None:
    kind = Kind("accuracy", "right answers", "higher")
    lower = artifact(tmp_path / "a", BITS, kind=kind)
    higher = artifact(tmp_path / "b", BITS + SIZES * RANDOM.normal(0.02, 0.01, 40), kind=kind)
    metric = {"metric": "perplexity.base.accuracy"}
    result = decision(context, higher, lower, **metric)
    assert result["promote"] is True and result["better"] == "higher"
    assert result["difference"] > result["bound"] > 0
    result = decision(context, lower, higher, **metric)
    assert result["promote"] is False and result["reason"].startswith("not better")


def test_the_decision_names_its_figure_and_what_so_many_items_can_see(
    tmp_path: Path, context: Context
) -> None:
    better = BITS - SIZES * RANDOM.normal(0.02, 0.01, 40)
    result = decision(context, artifact(tmp_path / "a", better), artifact(tmp_path / "b", BITS))
    assert result["metric"] == "perplexity.base.bits_per_byte"
    assert (result["unit"], result["better"], result["items"]) == ("bits per byte", "lower", 40)
    assert 0 < result["smallest_difference"] < -result["difference"]


def test_a_figure_that_was_not_measured_names_those_that_were(
    tmp_path: Path, context: Context
) -> None:
    candidate = artifact(tmp_path / "a", BITS)
    with pytest.raises(BadInput, match=r"measured no accuracy of base; it has bits_per_byte"):
        decision(context, candidate, None, metric="perplexity.base.accuracy")


def test_the_first_champion_of_a_tuned_model_s_figure_is_told_as_such(
    tmp_path: Path, context: Context
) -> None:
    metric = "answers.ask-docs.bits_per_byte"
    result = decision(context, artifact(tmp_path / "a", BITS), None, metric=metric)
    assert result["reason"] == "no champion with a model ask-docs yet"
