"""Memory that signing documents and finding their duplicates takes, as the corpus grows.

    python benchmarks/memory.py [--gigabytes 0.1 0.5 2]

Documents are made of random words, all distinct. Each size runs in a process of its own, whose
greatest resident memory is read from the operating system; making the documents is not part of it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

SHARD_BYTES = 32_000_000
WORDS = 300_000
# Words in a document, on average: as in web pages.
WORDS_A_DOCUMENT = 600


def make(folder: Path, size: int) -> None:
    """Write shards of documents, `size` bytes of text together, as the extract step would."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from llm.corpus.documents import EXTRACTED, GROUP_ROWS

    rng = np.random.default_rng(size)
    lengths = rng.integers(2, 12, WORDS)
    letters = rng.integers(ord("a"), ord("z") + 1, lengths.sum(), np.uint8).tobytes().decode()
    ends = np.cumsum(lengths)
    words = pa.array(
        [letters[end - length : end] for end, length in zip(ends, lengths, strict=True)],
        pa.string(),
    )
    # Zipf's law: the word of rank r comes in proportion to 1 / (r + 2.7).
    share = np.cumsum(1 / (np.arange(WORDS) + 2.7))
    share /= share[-1]
    made = number = 0
    while made < size:
        shard = min(SHARD_BYTES, size - made)
        count = max(1, shard // (WORDS_A_DOCUMENT * 7))
        sizes = rng.gamma(1.5, WORDS_A_DOCUMENT / 1.5, count).astype(np.int64) + 20
        chosen = np.searchsorted(share, rng.random(int(sizes.sum())))
        offsets = pa.array(np.append(0, np.cumsum(sizes)), pa.int32())
        texts = pc.binary_join(pa.ListArray.from_arrays(offsets, words.take(chosen)), " ")
        ids = np.sort(np.frombuffer(rng.bytes(16 * count), "S16"))
        urls = [f"http://memory.test/{number}/{at}" for at in range(count)]
        same = {"source": "memory", "language": "en", "licence": "", "opt_out": ""}
        columns = {
            "doc_id": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(16), count, [None, pa.py_buffer(ids.tobytes())]
            ),
            "url": pa.array(urls),
            "text": texts.cast(pa.large_string()),
            "language_score": pa.array(np.ones(count, np.float32)),
            **{name: pa.array([value] * count) for name, value in same.items()},
        }
        table = pa.table({name: columns[name] for name in EXTRACTED.names}, schema=EXTRACTED)
        (folder / f"{number:05d}").mkdir(parents=True)
        path = folder / f"{number:05d}" / "documents.parquet"
        pq.write_table(table, path, compression="lz4", row_group_size=GROUP_ROWS)
        made += int(pc.sum(pc.binary_length(texts)).as_py())
        number += 1


def find(folder: Path, work: Path) -> dict[str, float]:
    """Sign all shards, two at a time, and find duplicates."""
    from concurrent.futures import ThreadPoolExecutor

    from llm.corpus.dedup import DedupSettings, find_duplicates, signature_settings
    from llm.corpus.near.signatures import sign
    from llm.step import Context

    values = DedupSettings()

    def signed(shard: Path) -> Path:
        out = work / shard.name
        out.mkdir()
        sign(signature_settings(values), {"documents": [shard]}, Context(out=out, work=work))
        return out

    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        signatures = list(pool.map(signed, sorted(folder.iterdir())))
    between = time.perf_counter()
    signing = peak_megabytes()
    out = work / "found"
    out.mkdir()
    result = find_duplicates(values, {"signatures": signatures}, Context(out=out, work=work))
    return {
        "documents": result.counts["documents"],
        "duplicates": result.counts["exact"] + result.counts["near"],
        "sign_seconds": between - start,
        "find_seconds": time.perf_counter() - between,
        "sign_megabytes": signing,
        "megabytes": peak_megabytes(),
    }


def peak_megabytes() -> float:
    """The greatest resident memory of this process so far (macOS counts bytes, Linux KiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.1, 0.5, 2])
    parser.add_argument("--do", choices=("make", "find"), help="one part only (internal)")
    parser.add_argument("paths", nargs="*")
    arguments = parser.parse_args()
    if arguments.do == "make":
        make(Path(arguments.paths[0]), int(arguments.paths[1]))
        return
    if arguments.do == "find":
        print(json.dumps(find(Path(arguments.paths[0]), Path(arguments.paths[1]))))
        return
    print("     GB  documents  sign MB  find MB  sign s  find s")
    rows = []
    for gigabytes in arguments.gigabytes:
        with tempfile.TemporaryDirectory() as scratch:
            folder, work = Path(scratch) / "documents", Path(scratch) / "work"
            work.mkdir()
            run("make", folder, int(gigabytes * 1e9))
            row = json.loads(run("find", folder, work))
        rows.append({"gigabytes": gigabytes, **{name: round(row[name], 1) for name in row}})
        print(
            f"{gigabytes:7.2f} {row['documents']:10d} {row['sign_megabytes']:8.0f} "
            f"{row['megabytes']:8.0f} {row['sign_seconds']:7.1f} {row['find_seconds']:7.1f}",
            flush=True,
        )
    print(json.dumps({"benchmark": "memory", "unit": "MB", "sizes": rows}))


def run(part: str, *paths: object) -> str:
    command = [sys.executable, __file__, "--do", part, *map(str, paths)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
