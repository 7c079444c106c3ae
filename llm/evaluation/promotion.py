"""Whether a candidate takes the champion's place: better on the same documents, beyond chance.

The difference in bits per byte is a ratio of sums over documents, so documents are what is drawn
again: the bootstrap resamples them in pairs (candidate and champion on the same text), which
takes out that some texts are harder than others. The bound is the studentised one (Efron and
Tibshirani 1993, chapter 12), which holds its level on a few dozen documents too, where plain
percentiles promote too often.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.corpus.documents import read_table
from llm.durable import write_json
from llm.evaluation.measured import MEASURED, bits_per_byte, of_source
from llm.evaluation.promotion_settings import PromoteSettings
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = ("numpy",)

METRIC = re.compile(r"perplexity\.(?:(?P<source>.+)\.)?bits_per_byte")
RESAMPLES = 10_000
SEED = 20_240_501
# More documents than this are drawn in groups: the bound hardly changes, the time does.
MOST_UNITS = 2_048
FEWEST_DOCUMENTS = 5


def decide(values: PromoteSettings, inputs: Inputs, context: Context) -> StepResult:
    """Compare two perplexity artifacts: decision.json.

    inputs: candidate, and champion (left out or empty: there is none yet). The decision has
    promote, reason, metric, confidence, candidate and champion (bits per byte), difference
    (candidate - champion), bound (what the difference is below with that confidence), documents.
    Raises ValueError where the two were not measured on the same documents.
    """
    source = _source_of(values.metric)
    candidate = _measured(inputs["candidate"][0], source, "the candidate")
    champions = inputs.get("champion", ())
    decision: dict[str, Any] = {
        "metric": values.metric,
        "confidence": values.confidence,
        "candidate": bits_per_byte(candidate),
        "documents": len(candidate),
        "protocol": _protocol(inputs["candidate"][0]),
    }
    if not champions:
        decision |= {"promote": True, "reason": "no champion yet"}
        decision |= {"champion": None, "difference": None, "bound": None}
    else:
        champion = _measured(champions[0], source, "the champion")
        _require_same_documents(candidate, champion)
        decision |= _compare(candidate, champion, values.confidence)
        decision["champion_protocol"] = _protocol(champions[0])
    write_json(context.out / "decision.json", decision)
    context.report.info(f"promote: {'yes' if decision['promote'] else 'no'}, {decision['reason']}")
    verdict = "promoted" if decision["promote"] else "not promoted"
    return StepResult(
        counts={"promoted": int(decision["promote"])},
        summary=f"{verdict}: {decision['reason']}",
    )


def difference_bound(
    difference_bits: np.ndarray, sizes: np.ndarray, confidence: float
) -> tuple[float, float]:
    """Candidate minus champion in bits per byte, and what it is below with `confidence`.

    difference_bits (N,): candidate's bits - champion's of each document; sizes (N,): bytes.
    The same numbers give the same bound.
    """
    difference = float(difference_bits.sum() / sizes.sum())
    bits, size = _grouped(difference_bits), _grouped(sizes)
    error = float(_standard_error(bits[None], size[None])[0])
    if error == 0:  # every document says the same
        return difference, difference
    random = np.random.default_rng(SEED)
    scores = []
    for _ in range(0, RESAMPLES, 1000):
        drawn = random.integers(0, len(bits), (1000, len(bits)))
        again_bits, again_size = bits[drawn], size[drawn]  # (1000, N)
        again = again_bits.sum(1) / again_size.sum(1)
        again_error = _standard_error(again_bits, again_size)
        # One document drawn N times has no spread: such a draw says nothing.
        useful = again_error > 1e-9 * error
        scores.append((again - difference)[useful] / again_error[useful])
    low = float(np.quantile(np.concatenate(scores), 1 - confidence))
    return difference, difference - low * error


def _standard_error(bits: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of sum(bits) / sum(size) in each row, (R, N) → (R,), by linearisation of the ratio."""
    count = bits.shape[1]
    ratio = bits.sum(1, keepdims=True) / size.sum(1, keepdims=True)
    squares = np.square(bits - ratio * size).sum(1)
    error: np.ndarray = np.sqrt(squares * count / (count - 1)) / size.sum(1)
    return error


def _grouped(values: np.ndarray) -> np.ndarray:
    """Sums over runs of neighbours, at most MOST_UNITS; neighbours in doc_id are unrelated texts."""
    if len(values) <= MOST_UNITS:
        return values.astype(np.float64)
    starts = np.linspace(0, len(values), MOST_UNITS, endpoint=False).astype(np.int64)
    return np.add.reduceat(values.astype(np.float64), starts)


def _compare(candidate: pa.Table, champion: pa.Table, confidence: float) -> dict[str, Any]:
    result: dict[str, Any] = {"champion": bits_per_byte(champion)}
    bits = candidate["bits"].to_numpy() - champion["bits"].to_numpy()
    sizes = candidate["bytes"].to_numpy().astype(np.float64)
    figures = f"{bits_per_byte(candidate):.4f} against the champion's {result['champion']:.4f}"
    if not bits.any():
        return result | {
            "promote": False,
            "reason": f"the same as the champion on every document ({figures} bits per byte)",
            "difference": 0.0,
            "bound": 0.0,
        }
    if len(bits) < FEWEST_DOCUMENTS:
        return result | {
            "promote": False,
            "reason": f"{len(bits)} validation documents are too few to tell ({figures} bits per "
            f"byte): {FEWEST_DOCUMENTS} or more are needed",
            "difference": float(bits.sum() / sizes.sum()),
            "bound": None,
        }
    difference, bound = difference_bound(bits, sizes, confidence)
    promote = difference < 0 and bound < 0
    if promote:
        reason = f"better: {figures} bits per byte, with {confidence:.0%} confidence by more than {-bound:.4f}"
    elif difference < 0:
        reason = f"better, but within chance: {figures} bits per byte, with {confidence:.0%} confidence only below {bound:+.4f}"
    else:
        reason = f"not better: {figures} bits per byte"
    return result | {
        "promote": promote,
        "reason": reason,
        "difference": difference,
        "bound": bound,
    }


def _source_of(metric: str) -> str | None:
    match = METRIC.fullmatch(metric)
    if match is None:
        raise BadInput(
            f"promote.metric {metric!r} is unknown: use perplexity.bits_per_byte or "
            f"perplexity.SOURCE.bits_per_byte"
        )
    return match["source"]


def _measured(folder: Path, source: str | None, whose: str) -> pa.Table:
    """The documents that the metric is about, sorted by doc_id."""
    table = read_table(folder / "documents.parquet", MEASURED)
    if source is None:
        return table
    sources = table["source"].to_pylist()
    if source not in sources:
        raise BadInput(
            f"promote.metric names the source {source!r}, of which {whose} was measured on no "
            f"document; there are {', '.join(sorted(set(sources)))}"
        )
    return of_source(table, source)


def _require_same_documents(candidate: pa.Table, champion: pa.Table) -> None:
    ids, champion_ids = candidate["doc_id"].to_pylist(), champion["doc_id"].to_pylist()
    if ids == champion_ids:
        return
    missing = len(set(ids) - set(champion_ids))
    foreign = len(set(champion_ids) - set(ids))
    raise ValueError(
        f"the champion has not been measured on these documents ({missing} of the candidate's "
        f"{len(ids)} are missing, {foreign} are others): measure the champion's model on today's "
        f"validation documents first"
    )


def _protocol(folder: Path) -> str:
    metrics: Mapping[str, Any] = json.loads((folder / "metrics.json").read_text("utf8"))
    return str(metrics["protocol"])
