"""Quality filters, end to end: ours beside datatrove's Gopher, FineWeb and C4 filters in a chain.

    python benchmarks/filters.py [--megabytes 8] [--runs 3] [--peer-python .venv-bench/bin/python]

Real text (../shared/data where it is, and the documentation of the installed packages), every other
document damaged as web pages are: see filters_data.py. Both sides read the same Parquet files,
apply all four presets, cut C4's lines from what is kept and write it, each with two workers. Ours
are the steps as they run: every signal and decision is written and read back as well, and every
file synced, which with shards of a megabyte or less takes more time than the text does. Time is
taken inside each side after its imports, after datatrove has loaded its splitter and ours was
compiled (once a machine). The agreement is that of each preset alone on every document.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
SHARED = HOME.parent / "shared" / "data"
SHARDS = 8
WORKERS = 2
# In this order: C4 changes the text, so it comes last.
PRESETS = ("gopher_repetition", "gopher_quality", "fineweb", "c4")


def datatrove_filters() -> list[Any]:
    """datatrove's filters with its own defaults, as PRESETS has them."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    load_word_tokenizer("en").word_tokenize("Load spaCy now.")
    return [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        FineWebQualityFilter(),
        C4QualityFilter(),
    ]


def run_datatrove(documents: Path, work: Path) -> dict[str, Any]:
    """The four filters in a chain over `documents`; runs in datatrove's environment."""
    from importlib.metadata import version

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    pipeline = [
        ParquetReader(str(documents), glob_pattern="*.parquet", id_key="url", read_metadata=False),
        *datatrove_filters(),
        ParquetWriter(str(work / "kept"), compression="zstd"),
    ]
    start = time.perf_counter()
    LocalPipelineExecutor(
        pipeline,
        tasks=SHARDS,
        workers=WORKERS,
        logging_dir=str(work / "log"),
        start_method="fork",
    ).run()
    seconds = time.perf_counter() - start
    kept = _read(work / "kept", "id")
    return {"seconds": seconds, "kept": kept, "name": f"datatrove {version('datatrove')}"}


def judge_datatrove(documents: Path, work: Path) -> dict[str, Any]:
    """What each filter alone says on every document: {preset: {name: why dropped, or ""}}."""
    from concurrent.futures import ProcessPoolExecutor

    datatrove_filters()
    verdicts: dict[str, dict[str, str]] = {preset: {} for preset in PRESETS}
    with ProcessPoolExecutor(WORKERS) as pool:
        for part in pool.map(_judge_shard, sorted(documents.glob("*.parquet"))):
            for preset, said in part.items():
                verdicts[preset].update(said)
    return {"verdicts": verdicts}


def _judge_shard(path: Path) -> dict[str, dict[str, str]]:
    import pyarrow.parquet as pq
    from datatrove.data import Document

    said: dict[str, dict[str, str]] = {preset: {} for preset in PRESETS}
    filters = datatrove_filters()
    for row in pq.read_table(path, columns=["url", "text"]).to_pylist():
        for preset, one in zip(PRESETS, filters, strict=True):
            try:
                answer = one.filter(Document(text=row["text"], id=row["url"]))
            except ZeroDivisionError:
                answer = (False, "no words")
            said[preset][row["url"]] = answer[1] if isinstance(answer, tuple) else ""
    return said


def run_ours(documents: Path, work: Path) -> dict[str, Any]:
    """The steps of each shard: signals, decisions from what they wrote, the kept; two threads."""
    sys.path.insert(0, str(HOME))
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa

    from llm.corpus.decide import DecideAll, judge
    from llm.corpus.documents import DECISIONS, SIDECAR, by_identity, write_table
    from llm.corpus.filters import FilterSettings
    from llm.corpus.signals import SignalSettings, measure, signals
    from llm.corpus.text.c4 import c4_lines
    from llm.corpus.write import WriteShard, write

    settings = FilterSettings(presets=PRESETS)
    shards = []
    for path in sorted(documents.glob("*.parquet")):
        shards.append(work / path.stem)
        (shards[-1] / "documents").mkdir(parents=True)
        (shards[-1] / "documents/documents.parquet").hardlink_to(path)
        write_table(shards[-1] / "documents/sidecar.parquet", SIDECAR.empty_table())

    def done(shard: Path) -> dict[str, str]:
        folders = {name: shard / name for name in ("documents", "signals")}
        inputs = {"documents": [folders["documents"]]}
        measure(SignalSettings(), inputs, _context(folders["signals"]))
        judged = judge(DecideAll(shards=(shard.name,), filters=settings), folders)
        names = ["kept", *judged.names]
        columns = {
            **{name: judged.table[name] for name in ("doc_id", "url", "source")},
            "bytes": pa.array(judged.sizes),
            "reason": pa.array([names[reason] for reason in judged.reasons]),
            "duplicate_of": pa.nulls(len(judged.sizes), DECISIONS.field("duplicate_of").type),
            "split_key": pa.array([0] * len(judged.sizes), pa.uint64()),
        }
        decisions = by_identity(pa.table(columns, schema=DECISIONS))
        write_table(shard / f"decisions/decisions/{shard.name}.parquet", decisions)
        # No PII is masked: the peer's chain does not either.
        values = WriteShard(shard=shard.name, pii=(), lines=settings.c4)
        write(values, {**inputs, "decisions": [shard / "decisions"]}, _context(shard / "kept"))
        return {
            url: ", ".join(name for name, fails in zip(judged.names, row, strict=True) if fails)
            for url, row in zip(judged.table["url"].to_pylist(), judged.failed, strict=True)
        }

    signals(["Compile now."])
    c4_lines("好。", settings.c4)  # makes the tables of characters
    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(pool.map(done, shards))
    seconds = time.perf_counter() - start
    why = {url: reasons for part in parts for url, reasons in part.items()}
    kept: dict[str, str] = {}
    for shard in shards:
        kept |= _read(shard / "kept", "url", "documents.parquet")
    return {"seconds": seconds, "kept": kept, "why": why, "name": "ours"}


def _context(folder: Path) -> Any:
    from llm.step import Context

    scratch = folder.with_name(f"{folder.name}-work")
    folder.mkdir()
    scratch.mkdir()
    return Context(out=folder, work=scratch)


def _read(folder: Path, column: str, files: str = "*.parquet") -> dict[str, str]:
    """The text of every document that was written, by name."""
    import pyarrow.parquet as pq

    kept: dict[str, str] = {}
    for path in sorted(folder.glob(files)):
        table = pq.read_table(path, columns=[column, "text"])
        kept.update(zip(*(table[name].to_pylist() for name in (column, "text")), strict=True))
    return kept


SIDES = {"ours": run_ours, "datatrove": run_datatrove, "verdicts": judge_datatrove}


def agreement(ours: dict[str, bool], theirs: dict[str, bool]) -> dict[str, float]:
    """Of two sets of verdicts (name → kept): the share kept, Cohen's kappa and both recalls."""
    pairs = Counter((ours[name], theirs[name]) for name in theirs)
    total = len(theirs)
    kept = pairs[True, True] + pairs[False, True]
    mine = pairs[True, True] + pairs[True, False]
    same = (pairs[True, True] + pairs[False, False]) / total
    chance = (kept * mine + (total - kept) * (total - mine)) / total**2
    return {
        "kept": kept / total,
        "kappa": (same - chance) / (1 - chance) if chance < 1 else 1.0,
        "recall_kept": pairs[True, True] / max(1, kept),
        "recall_dropped": pairs[False, False] / max(1, total - kept),
    }


def compare(scratch: Path, arguments: argparse.Namespace) -> None:
    """Prepare, run both sides in turn, check and print."""
    sys.path[:0] = [str(HOME), str(HOME / "benchmarks")]
    from filters_data import prepare

    documents = scratch / "documents"
    count, size = prepare(documents, arguments.megabytes, SHARDS, SHARED)
    print(f"{count} documents, {size / 1e6:.1f} MB")

    def run(side: str, number: int) -> dict[str, Any]:
        work = scratch / f"{side}-{number}"
        work.mkdir()
        python = sys.executable if side == "ours" else arguments.peer_python
        command = [python, __file__, "--side", side, documents, work]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
        result: dict[str, Any] = json.loads((work / "result.json").read_text())
        shutil.rmtree(work)
        return result

    results: dict[str, list[dict[str, Any]]] = {"ours": [], "datatrove": []}
    for number in range(arguments.runs):
        for side, found in results.items():
            found.append(run(side, number))
    ours, theirs = results["ours"][-1], results["datatrove"][-1]
    verdicts = run("verdicts", 0)["verdicts"]
    if arguments.save:
        said = {"verdicts": verdicts, "why": ours["why"], "texts": _read(documents, "url")}
        arguments.save.write_text(json.dumps(said))
    for side, found in (("ours", ours), (theirs["name"], theirs)):
        assert set(found["kept"]) <= set(ours["why"]), f"{side} wrote documents that never came in"
    assert len(ours["why"]) == count, f"ours decided on {len(ours['why'])} of {count} documents"
    figures = _agreements(ours, theirs, verdicts)
    both = sorted(ours["kept"].keys() & theirs["kept"].keys())
    same = sum(ours["kept"][name] == theirs["kept"][name] for name in both)
    print(f"text after C4's line rules the same in {same} of {len(both)} that both kept")
    speeds = {
        side: [size / 1e6 / result["seconds"] for result in found]
        for side, found in results.items()
    }
    for side, values in speeds.items():
        shown = ", ".join(f"{value:.2f}" for value in values)
        print(f"{'ours' if side == 'ours' else theirs['name']:<20} MB/s: {shown}")
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["datatrove"], strict=True)]
    summary = {
        "benchmark": "filters",
        "unit": "MB/s",
        "ours": round(statistics.median(speeds["ours"]), 2),
        "peers": {theirs["name"]: round(statistics.median(speeds["datatrove"]), 2)},
        "ratio": round(statistics.median(ratios), 1),
        "agreement": figures,
    }
    print(json.dumps(summary))


def _agreements(
    ours: dict[str, Any], theirs: dict[str, Any], verdicts: dict[str, dict[str, str]]
) -> dict[str, dict[str, float]]:
    """How well both agree on what to keep, by preset: printed, and as figures."""
    figures = {}
    print(f"{'preset':<20}{'kept':>8}{'kappa':>8}{'recall: kept':>14}{'dropped':>9}")
    for preset in (*PRESETS, "all four"):
        if preset == "all four":
            mine = {name: name in ours["kept"] for name in ours["why"]}
            other = {name: name in theirs["kept"] for name in ours["why"]}
        else:
            mine = {name: f"{preset}." not in why for name, why in ours["why"].items()}
            other = {name: not why for name, why in verdicts[preset].items()}
        row = agreement(mine, other)
        figures[preset] = {name: round(value, 4) for name, value in row.items()}
        print(
            f"{preset:<20}{row['kept']:>8.3f}{row['kappa']:>8.3f}"
            f"{row['recall_kept']:>14.3f}{row['recall_dropped']:>9.3f}"
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-python", type=Path, default=HOME / ".venv-bench/bin/python")
    parser.add_argument("--save", type=Path, help="write every verdict and text there (JSON)")
    parser.add_argument("--side", choices=SIDES, help="run one side only (internal)")
    parser.add_argument("folders", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        documents, work = arguments.folders
        (work / "result.json").write_text(json.dumps(SIDES[arguments.side](documents, work)))
        return
    if not arguments.peer_python.exists():
        sys.exit(f"{arguments.peer_python} is missing: run `make bench-setup` first")
    with tempfile.TemporaryDirectory() as scratch:
        compare(Path(scratch), arguments)


if __name__ == "__main__":
    main()
