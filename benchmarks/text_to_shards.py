"""Text to Arrow token shards: ours beside datatrove's DocumentTokenizer and `datasets.map`.

    python benchmarks/tokenize.py [--megabytes 100] [--runs 3] [--peer-python .venv-bench/bin/python]

Real text, each document once: ../shared/data where it is, the documentation and descriptions of the
installed packages, then their source files. A byte-level BPE vocabulary of 32,768 is learned from
another part of the same text, so what is encoded is fresh. All sides read the same Parquet shards
and write token files with two workers: ours is the step as the pipeline runs it (shards in threads, the
check against tokenizers for each of them included), beside datatrove's DocumentTokenizer and
datasets.map with tokenizers' encode_batch_fast. Time is taken inside each side, after its imports; every side starts with an empty
cache. Afterwards each side's ids are compared with those of tokenizers, document by document.
The last line is JSON. Learning the vocabulary is timed as well, beside tokenizers' own trainer.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
SHARED = HOME.parent / "shared" / "data"
SHARDS = 4
WORKERS = 2


def run_ours(data: Path, work: Path) -> float:
    """The tokenize step on every shard, in threads as the pipeline's."""
    sys.path.insert(0, str(HOME))
    import awkward  # noqa: F401
    import gigatoken  # noqa: F401

    from llm.step import Context
    from llm.tokens.tokenize import TokenizeSettings, tokenize
    from llm.tokens.tokenize_settings import ValidationSettings

    settings = TokenizeSettings(validation=ValidationSettings(fraction=0.0))
    folders = []
    for path in sorted((data / "shards").glob("*.parquet")):
        folder = work / path.stem
        for name in ("documents", "out", "scratch"):
            (folder / name).mkdir(parents=True)
        (folder / "documents/documents.parquet").hardlink_to(path)
        folders.append(folder)

    def encode(folder: Path) -> None:
        inputs = {"documents": [folder / "documents"], "tokenizer": [data]}
        tokenize(settings, inputs, Context(out=folder / "out", work=folder / "scratch"))

    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(encode, folders))
    return time.perf_counter() - start


def ids_ours(data: Path, work: Path) -> Iterator[list[int]]:
    """The ids of each document, in the order of the shards' rows."""
    from llm.tokens.shards import Shard

    for folder in sorted(path for path in work.iterdir() if (path / "out").is_dir()):
        shard = Shard.open(folder / "out/train.arrow")
        for at in range(len(shard)):
            yield shard.document(at).tolist()


def run_datatrove(data: Path, work: Path) -> float:
    """DocumentTokenizer over the shards; runs in datatrove's environment."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    pipeline = [
        ParquetReader(str(data / "shards"), glob_pattern="*.parquet", id_key="url"),
        DocumentTokenizer(
            output_folder=str(work / "tokens"),
            local_working_dir=str(work / "local"),
            tokenizer_name_or_path=str(data / "tokenizer.json"),
            eos_token="<|endoftext|>",
            batch_size=1000,
            shuffle_documents=False,
        ),
    ]
    start = time.perf_counter()
    LocalPipelineExecutor(
        pipeline,
        tasks=SHARDS,
        workers=WORKERS,
        logging_dir=str(work / "log"),
        start_method="fork",
    ).run()
    return time.perf_counter() - start


def ids_datatrove(data: Path, work: Path) -> Iterator[list[int]]:
    import numpy as np

    for path in sorted((work / "tokens").glob("*.ds")):
        tokens = np.fromfile(path, np.uint16)
        ends = np.fromfile(path.with_suffix(".ds.index"), np.uint64).astype(np.int64)
        begin = 0
        for end in ends:
            yield tokens[begin:end].tolist()
            begin = end


def run_datasets(data: Path, work: Path) -> float:
    """`datasets.map` in batches over two processes, written as Arrow files."""
    import datasets
    from tokenizers import Tokenizer

    datasets.disable_progress_bars()
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    end = tokenizer.token_to_id("<|endoftext|>")

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        found = tokenizer.encode_batch_fast(batch["text"], add_special_tokens=False)
        return {"tokens": [[*one.ids, end] for one in found]}

    files = sorted(str(path) for path in (data / "shards").glob("*.parquet"))
    start = time.perf_counter()
    table = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(work / "cache")
    )
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("uint16"))})
    table = table.map(
        encode,
        batched=True,
        num_proc=WORKERS,
        remove_columns=table.column_names,
        features=features,
    )
    table.save_to_disk(str(work / "tokens"))
    return time.perf_counter() - start


def ids_datasets(data: Path, work: Path) -> Iterator[list[int]]:
    import datasets

    yield from datasets.load_from_disk(str(work / "tokens"))["tokens"]


SIDES = {
    "ours": (run_ours, ids_ours),
    "datatrove": (run_datatrove, ids_datatrove),
    "datasets": (run_datasets, ids_datasets),
}


def digest(documents: Iterator[list[int]]) -> tuple[str, int]:
    """A digest over documents' ids, and how many ids there are."""
    state = hashlib.blake2b(digest_size=16)
    tokens = 0
    for ids in documents:
        state.update(json.dumps(list(map(int, ids))).encode())
        tokens += len(ids)
    return state.hexdigest(), tokens


def reference_ids(data: Path) -> Iterator[list[int]]:
    """tokenizers' own ids of every document, special tokens read as text."""
    import pyarrow.parquet as pq
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    end = tokenizer.token_to_id("<|endoftext|>")
    for path in sorted((data / "shards").glob("*.parquet")):
        rows = pq.read_table(path, columns=["text"])["text"].to_pylist()
        for one in tokenizer.encode_batch_fast(rows, add_special_tokens=False):
            yield [*one.ids, end]


def compare(scratch: Path, arguments: argparse.Namespace) -> None:
    """Prepare, run the sides in turn, check and print."""
    sys.path.insert(0, str(HOME))
    sys.path.append(str(HOME / "benchmarks"))
    from text_to_shards_data import VOCABULARY, prepare

    data = scratch / "data"
    count, size, seconds, seconds_theirs = prepare(
        data, arguments.megabytes, SHARED, SHARDS, WORKERS
    )
    print(f"{count} documents, {size / 1e6:.1f} MB")
    print(
        f"learning {VOCABULARY:,} tokens: ours {seconds:.2f} s, tokenizers {seconds_theirs:.2f} s"
    )
    expected, tokens = digest(reference_ids(data))

    def run(side: str, number: int) -> float:
        work = scratch / f"{side}-{number}"
        work.mkdir()
        python = arguments.peer_python if side == "datatrove" else sys.executable
        command = [python, __file__, "--side", side, data, work]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
        result = json.loads((work / "result.json").read_text())
        same = "the same ids" if result["ids"] == expected else "OTHER IDS"
        if number == 0:
            print(f"{side}: {result['tokens']:,} tokens, {same} as tokenizers ({tokens:,})")
        if side == "ours":
            assert result["ids"] == expected, "our ids are not those of tokenizers"
        shutil.rmtree(work)
        return float(result["seconds"])

    speeds: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(arguments.runs):
        for side, found in speeds.items():
            found.append(size / 1e6 / run(side, number))
    ratios = {}
    print(f"{'':<12}{'MB/s':>10}   each run")
    for side, found in speeds.items():
        print(
            f"{side:<12}{statistics.median(found):>10.2f}   {', '.join(f'{x:.2f}' for x in found)}"
        )
        paired = [a / b for a, b in zip(speeds["ours"], found, strict=True)]
        ratios[side] = round(statistics.median(paired), 1)
    peers = [side for side in SIDES if side != "ours"]
    summary = {
        "benchmark": "tokenize",
        "unit": "MB/s",
        "megabytes": round(size / 1e6, 1),
        "vocabulary": VOCABULARY,
        "ours": round(statistics.median(speeds["ours"]), 2),
        "peers": {side: round(statistics.median(speeds[side]), 2) for side in peers},
        "ratio": {side: ratios[side] for side in peers},
        "learning_seconds": {"ours": round(seconds, 2), "tokenizers": round(seconds_theirs, 2)},
    }
    print(json.dumps(summary))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-python", type=Path, default=HOME / ".venv-bench/bin/python")
    parser.add_argument("--side", choices=SIDES, help="run one side only (internal)")
    parser.add_argument("folders", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        data, work = arguments.folders
        run, ids = SIDES[arguments.side]
        seconds = run(data, work)
        found, tokens = digest(ids(data, work))
        result = {"seconds": seconds, "ids": found, "tokens": tokens}
        (work / "result.json").write_text(json.dumps(result))
        return
    if not arguments.peer_python.exists():
        sys.exit(f"{arguments.peer_python} is missing: run `make bench-setup` first")
    with tempfile.TemporaryDirectory() as scratch:
        compare(Path(scratch), arguments)


if __name__ == "__main__":
    main()
