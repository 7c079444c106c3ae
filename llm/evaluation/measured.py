"""What scoring leaves of each document, for totals, by source, and for comparing two models."""

from typing import Any

import numpy as np
import pyarrow as pa

from llm.corpus.documents import DOC_ID

# tokens: those that were scored. bits: -log2 p of the whole text.
MEASURED = pa.schema(
    [
        ("doc_id", DOC_ID),
        ("source", pa.string()),
        ("bytes", pa.int64()),
        ("tokens", pa.int64()),
        ("bits", pa.float64()),
    ]
)

NORMAL_95 = 1.959964  # how many standard errors to each side hold 95 %


def of_source(table: pa.Table, source: str) -> pa.Table:
    """The rows of one source."""
    return table.filter(pa.array([one == source for one in table["source"].to_pylist()]))


def bits_per_byte(table: pa.Table) -> float:
    """All bits over all bytes: long documents count for more, as their bytes do."""
    return float(table["bits"].to_numpy().sum() / table["bytes"].to_numpy().sum())


def interval(table: pa.Table) -> float | None:
    """Half the width of the 95 % interval of `bits_per_byte`; None for fewer than two documents.

    A ratio of sums, whose standard error is that of its linearisation over documents (Cochran 1977,
    Sampling Techniques, section 2.11), for documents drawn at random.
    """
    count = len(table)
    if count < 2:
        return None
    bits, size = table["bits"].to_numpy(), table["bytes"].to_numpy().astype(np.float64)
    rest = bits - bits.sum() / size.sum() * size
    error = np.sqrt(np.square(rest).sum() * count / (count - 1)) / size.sum()
    return float(NORMAL_95 * error)


def by_source(table: pa.Table) -> dict[str, dict[str, Any]]:
    """`totals` of each source, in the order of their names."""
    sources = sorted(set(table["source"].to_pylist()))
    return {source: totals(of_source(table, source)) for source in sources}


def totals(table: pa.Table) -> dict[str, Any]:
    """bits_per_byte, and how much was measured: documents, bytes, tokens (counts)."""
    return {
        "bits_per_byte": bits_per_byte(table),
        "documents": len(table),
        "bytes": int(table["bytes"].to_numpy().sum()),
        "tokens": int(table["tokens"].to_numpy().sum()),
    }
