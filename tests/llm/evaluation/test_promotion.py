"""Promotion: only what is better beyond chance, on the same documents, and always with a reason."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.documents import write_table
from llm.evaluation.measured import MEASURED
from llm.evaluation.promotion import PromoteSettings, decide, difference_bound
from llm.step import BadInput, Context

RANDOM = np.random.default_rng(7)
SIZES = RANDOM.integers(500, 9000, 40)
BITS = SIZES * RANDOM.normal(2.1, 0.3, 40)


def artifact(folder: Path, bits: np.ndarray, first: int = 0, source: str = "docs") -> Path:
    """A perplexity artifact whose document n has bits[n] on SIZES[n] bytes."""
    rows = [
        {
            "doc_id": (first + n).to_bytes(16, "big"),
            "source": source,
            "bytes": int(SIZES[n]),
            "tokens": int(SIZES[n]) // 3,
            "bits": float(bits[n]),
        }
        for n in range(len(bits))
    ]
    folder.mkdir()
    write_table(folder / "documents.parquet", pa.Table.from_pylist(rows, schema=MEASURED))
    (folder / "metrics.json").write_text(json.dumps({"protocol": "as in the test"}))
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
    assert "the same as the champion on every document" in result["reason"]


def test_a_champion_measured_on_other_documents_is_an_error(
    tmp_path: Path, context: Context
) -> None:
    with pytest.raises(ValueError, match="has not been measured on these documents"):
        decision(context, artifact(tmp_path / "a", BITS), artifact(tmp_path / "b", BITS, first=3))


def test_an_unknown_source_in_the_metric_names_the_ones_there_are(
    tmp_path: Path, context: Context
) -> None:
    candidate = artifact(tmp_path / "a", BITS)
    assert decision(context, candidate, None, metric="perplexity.docs.bits_per_byte")["promote"]
    with pytest.raises(BadInput, match=r"'news'.*there are docs"):
        decision(context, candidate, None, metric="perplexity.news.bits_per_byte")


def test_two_documents_cannot_show_anything(tmp_path: Path, context: Context) -> None:
    result = decision(
        context, artifact(tmp_path / "a", BITS[:2] - 9), artifact(tmp_path / "b", BITS[:2])
    )
    assert result["promote"] is False
    assert "too few" in result["reason"]


def test_the_bound_is_the_normal_one_for_many_documents() -> None:
    random = np.random.default_rng(1)
    bits, sizes = random.normal(-3, 10, 5000), np.full(5000, 100.0)
    difference, bound = difference_bound(bits, sizes, 0.95)
    normal = difference + 1.6449 * bits.std(ddof=1) / 100 / np.sqrt(5000)
    assert bound == pytest.approx(normal, rel=0.05)
    assert difference_bound(bits, sizes, 0.95) == (difference, bound)


def test_chance_alone_is_promoted_no_more_often_than_the_confidence_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llm.evaluation.promotion.RESAMPLES", 1000)
    random = np.random.default_rng(2)
    promoted = 0
    for _ in range(300):
        sizes = random.lognormal(7, 1, 25)
        bits = sizes * random.normal(0, 0.02, 25)
        promoted += difference_bound(bits, sizes, 0.9)[1] < 0
    # 30 expected; four standard deviations of a binomial are 21.
    assert promoted <= 51
