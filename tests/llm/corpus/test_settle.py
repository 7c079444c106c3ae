"""Which of a night's duplicates go, by the table of duplicates alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from llm.corpus.documents import CLUSTERS, PAIRS, write_table
from llm.corpus.settle import ADDRESS, settle


def test_an_address_of_an_earlier_night_is_never_taken_again(tmp_path: Path) -> None:
    own = [bytes([65 + at]) * 16 for at in range(4)]
    earlier = b"e" * 16
    of = [earlier, earlier, None, own[2]]
    rows: list[dict[str, Any]] = [
        {"doc_id": one, "cluster": other or one, "kind": "url" if other else "none"}
        | {"similarity": None, "of": other}
        for one, other in zip(own, of, strict=True)
    ]
    write_table(tmp_path / "clusters.parquet", pa.Table.from_pylist(rows, schema=CLUSTERS))
    write_table(tmp_path / "pairs.parquet", PAIRS.empty_table())
    corpus = SimpleNamespace(
        names=["rule"],
        ids=np.array(own, "S16"),
        sizes=np.array([9, 8, 7, 6]),
        lengths=np.ones(4, np.int32),
        split_keys=np.arange(4, dtype=np.uint64),
        reasons=np.array([0, 1, 1, 0], np.int16),
    )
    settled = settle(corpus, tmp_path)
    # The second and third fail the rule, so the third's address is the fourth's.
    assert settled.reasons.tolist() == [2 + ADDRESS, 1, 1, 0]
    assert settled.duplicate_of[0] == earlier
    assert settled.is_duplicate.tolist() == [True, False, False, False]
