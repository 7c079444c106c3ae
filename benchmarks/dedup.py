"""Near-duplicates by MinHash, end to end: ours beside datatrove's four stages, on the same Parquet files.

    python benchmarks/dedup.py [--megabytes 24] [--runs 3] [--peer-python .venv-bench/bin/python]

Real text (../shared/data where it is, else the documentation of the installed packages), of which
every few documents come again with seeded edits of known similarity from 0.5 to 1. Both sides read
Parquet, sign, find duplicates and write what they keep, each with two workers. Time is taken inside
each side after its imports and, of ours, after its functions were compiled (once a machine).
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
SHARED = HOME.parent / "shared" / "data"
SHARDS = 4
WORKERS = 2
THRESHOLD = 0.8


def run_datatrove(documents: Path, work: Path) -> dict[str, Any]:
    """datatrove's MinHash over `documents`, as its own example chains it; runs in its environment."""
    from importlib.metadata import version

    from datatrove.executor import LocalPipelineExecutor

    chain = _chain(documents, work)
    start = time.perf_counter()
    for number, (tasks, pipeline) in enumerate(chain):
        LocalPipelineExecutor(
            pipeline,
            tasks=tasks,
            workers=WORKERS,
            logging_dir=str(work / f"log-{number}"),
            start_method="fork",
        ).run()
    seconds = time.perf_counter() - start
    return {
        **_written_by_datatrove(work),
        "seconds": seconds,
        "name": f"datatrove {version('datatrove')}",
    }


def _chain(documents: Path, work: Path) -> list[tuple[int, list[Any]]]:
    """datatrove's stages, each with the number of its tasks."""
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    config = MinhashConfig()  # 5-grams, 14 bands of 8 rows; ours has 16 of 7, as many hashes

    def reader() -> ParquetReader:
        return ParquetReader(
            str(documents), glob_pattern="*.parquet", id_key="name", read_metadata=False
        )

    def folder(name: str) -> str:
        return str(work / name)

    return [
        (SHARDS, [reader(), MinhashDedupSignature(folder("signatures"), config)]),
        (
            config.num_buckets,
            [MinhashDedupBuckets(folder("signatures"), folder("buckets"), config=config)],
        ),
        (
            1,
            [
                MinhashDedupCluster(
                    folder("buckets"), folder("remove"), config=config, save_cluster_id=True
                )
            ],
        ),
        (
            SHARDS,
            [
                reader(),
                MinhashDedupFilter(
                    folder("remove"),
                    exclusion_writer=JsonlWriter(folder("removed"), compression=None),
                    load_cluster_ids=True,
                ),
                JsonlWriter(folder("kept"), compression=None),
            ],
        ),
    ]


def _written_by_datatrove(work: Path) -> dict[str, Any]:
    """The names of what was kept and removed, and clusters of names."""
    found: dict[str, Any] = {"kept": [], "removed": [], "clusters": {}}
    for kind in ("kept", "removed"):
        for path in sorted((work / kind).glob("*.jsonl")):
            for line in path.open(encoding="utf8"):
                row = json.loads(line)
                found[kind].append(row["id"])
                cluster = row["metadata"]["minhash_cluster_id"]
                if cluster >= 0:
                    found["clusters"].setdefault(cluster, []).append(row["id"])
    return {**found, "clusters": list(found["clusters"].values())}


def run_ours(documents: Path, work: Path) -> dict[str, Any]:
    """Sign each shard (two threads), find duplicates, write what is kept."""
    sys.path.insert(0, str(HOME))
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa
    import pyarrow.parquet as pq

    from llm.corpus.dedup import DedupSettings, find_duplicates, near_duplicates
    from llm.corpus.dedup_settings import signature_settings
    from llm.corpus.documents import CLUSTERS, read_table
    from llm.corpus.near.signatures import sign
    from llm.step import Context

    near_duplicates(["compile now"] * 4, THRESHOLD)
    values = DedupSettings()
    shards = sorted(documents.glob("*.parquet"))
    start = time.perf_counter()

    def signed(shard: Path) -> Path:
        given, out = work / "in" / shard.stem, work / "signed" / shard.stem
        given.mkdir(parents=True)
        out.mkdir(parents=True)
        (given / "documents.parquet").symlink_to(shard)
        sign(signature_settings(values), {"documents": [given]}, Context(out=out, work=work))
        return out

    def written(shard: Path, dropped: pa.Array) -> tuple[list[str], list[str]]:
        table = pq.read_table(shard)
        mask = pa.compute.is_in(table["doc_id"], value_set=dropped)
        kept = table.filter(pa.compute.invert(mask))
        pq.write_table(kept, work / f"kept-{shard.name}", compression="zstd")
        return kept["name"].to_pylist(), table.filter(mask)["name"].to_pylist()

    with ThreadPoolExecutor(WORKERS) as pool:
        signatures = list(pool.map(signed, shards))
        out = work / "found"
        out.mkdir()
        find_duplicates(values, {"signatures": signatures}, Context(out=out, work=work))
        clusters = read_table(out / "clusters.parquet", CLUSTERS)
        repeats = pa.compute.not_equal(clusters["kind"], "none")
        dropped = clusters.filter(repeats)["doc_id"].combine_chunks()
        parts = list(pool.map(lambda shard: written(shard, dropped), shards))
    seconds = time.perf_counter() - start
    names = _names(shards)
    said = [
        (names[row["doc_id"]], names[row["of"]])
        for row in clusters.to_pylist()
        if row["of"] is not None
    ]
    return {
        "kept": [name for kept, _ in parts for name in kept],
        "removed": [name for _, removed in parts for name in removed],
        "said": said,
        "seconds": seconds,
        "name": "ours",
    }


def _names(shards: list[Path]) -> dict[bytes, str]:
    """The name of each document by its id."""
    import pyarrow.parquet as pq

    names: dict[bytes, str] = {}
    for shard in shards:
        table = pq.read_table(shard, columns=["doc_id", "name"])
        names |= zip(table["doc_id"].to_pylist(), table["name"].to_pylist(), strict=True)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=24)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-python", type=Path, default=HOME / ".venv-bench/bin/python")
    parser.add_argument(
        "--side", choices=("ours", "datatrove"), help="run one side only (internal)"
    )
    parser.add_argument("folders", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        documents, work = arguments.folders
        side = run_ours if arguments.side == "ours" else run_datatrove
        (work / "result.json").write_text(json.dumps(side(documents, work)))
        return
    if not arguments.peer_python.exists():
        sys.exit(f"{arguments.peer_python} is missing: run `make bench-setup` first")
    with tempfile.TemporaryDirectory() as scratch:
        compare(Path(scratch), arguments.megabytes, arguments.runs, arguments.peer_python)


def compare(scratch: Path, megabytes: float, runs: int, peer_python: Path) -> None:
    """Prepare, run both sides in turn, check and print."""
    sys.path[:0] = [str(HOME), str(HOME / "benchmarks")]
    from dedup_data import judge, prepare

    texts, planted, size = prepare(scratch / "documents", megabytes, SHARDS, SHARED)
    print(f"{len(texts)} documents, {size / 1e6:.1f} MB, {len(planted)} of them edits of others")
    results: dict[str, list[dict[str, Any]]] = {"ours": [], "datatrove": []}
    for run in range(runs):
        for side, python in (("ours", Path(sys.executable)), ("datatrove", peer_python)):
            work = scratch / f"{side}-{run}"
            work.mkdir()
            command = [python, __file__, "--side", side, scratch / "documents", work]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
            results[side].append(json.loads((work / "result.json").read_text()))
            shutil.rmtree(work)
    judged = judge(texts, planted, results["ours"][-1], results["datatrove"][-1], THRESHOLD)
    print(judged.table)
    speeds = {
        side: [size / 1e6 / result["seconds"] for result in found]
        for side, found in results.items()
    }
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["datatrove"], strict=True)]
    name = results["datatrove"][0]["name"]
    for side, values in speeds.items():
        shown = ", ".join(f"{value:.2f}" for value in values)
        print(f"{'ours' if side == 'ours' else name:<20} MB/s: {shown}")
    summary = {
        "benchmark": "dedup",
        "unit": "MB/s",
        "ours": round(statistics.median(speeds["ours"]), 2),
        "peers": {name: round(statistics.median(speeds["datatrove"]), 2)},
        "ratio": round(statistics.median(ratios), 1),
        **judged.figures,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
