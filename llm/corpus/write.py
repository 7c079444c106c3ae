"""The documents that are kept, with personal data masked: what everything after cleaning reads."""

from collections import Counter

import pyarrow as pa

from llm.corpus.documents import (
    DECISIONS,
    DOCUMENTS,
    EXTRACTED,
    SIDECAR,
    batches,
    by_identity,
    content_digest,
    read_table,
    write_table,
)
from llm.corpus.pii import KINDS, mask
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = ("python",)


@section
class WriteShard:
    """One shard of the cleaned corpus."""

    shard: str = setting(description="Name of the shard in the table of decisions.")
    pii: tuple[str, ...] = setting(default=KINDS, description="Personal data to mask: email, ip.")

    def __post_init__(self) -> None:
        unknown = sorted({*self.pii} - {*KINDS})
        if unknown:
            raise ValueError(f"unknown kind of personal data {unknown}: choose from {list(KINDS)}")


def write(values: WriteShard, inputs: Inputs, context: Context) -> StepResult:
    """Write the kept documents of one shard: documents.parquet and sidecar.parquet.

    inputs: documents (the one extracted shard) and decisions. A document keeps its doc_id when
    its text is masked: the id names what was extracted.
    """
    (extracted,) = inputs["documents"]
    path = inputs["decisions"][0] / "decisions" / f"{values.shard}.parquet"
    decisions = read_table(path, DECISIONS, ["doc_id", "reason", "split_key"])
    columns = (decisions[name].to_pylist() for name in ("doc_id", "reason", "split_key"))
    split_keys = {one: key for one, reason, key in zip(*columns, strict=True) if reason == "kept"}
    masked: Counter[str] = Counter()
    rows = []
    for batch in batches([extracted], EXTRACTED.names, EXTRACTED):
        for row in batch.to_pylist():
            if row["doc_id"] in split_keys:
                row["text"], counts = mask(row["text"], values.pii)
                row["split_key"] = split_keys[row["doc_id"]]
                masked += counts
                rows.append(row)
        context.report.progress(len(rows), len(split_keys), "documents")
    if len(rows) != len(split_keys):
        raise BadInput(
            f"{path} keeps {len(split_keys)} documents, {extracted} has {len(rows)} of them: the "
            "two are not of one run; clean again"
        )
    documents = by_identity(pa.Table.from_pylist(rows, schema=DOCUMENTS))
    write_table(context.out / "documents.parquet", documents)
    sidecar = read_table(extracted / "sidecar.parquet", SIDECAR)
    wanted = [identity in split_keys for identity in sidecar["doc_id"].to_pylist()]
    write_table(context.out / "sidecar.parquet", sidecar.filter(pa.array(wanted, pa.bool_())))
    size = sum(len(row["text"].encode()) for row in rows)
    return StepResult(
        counts={"documents": len(rows), "bytes": size, "masked": dict(sorted(masked.items()))},
        content=content_digest(documents),
        summary=f"{len(rows)} documents, {size / 1e6:.2f} MB",
    )
