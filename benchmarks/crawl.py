"""Crawling against scrapy: pages a second from the built-in site, on loopback, without pauses.

A process of its own serves the site's pages, made beforehand, so that the crawler is what is timed.
Both follow every link, obey robots.txt, have as many requests under way and write the pages to disk:
scrapy as JSON lines, ours as WARC with digests, over a frontier that a kill leaves whole. Timed is the
crawl until everything is written, without the start of Python.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pyarrow.parquet as pq  # noqa: E402

from llm.corpus.site import server  # noqa: E402
from llm.corpus.site.content import Response, Site  # noqa: E402
from llm.corpus.site.documentation import SITE, standard_library, topics  # noqa: E402
from llm.corpus.sources import web  # noqa: E402
from llm.corpus.web.websource import WebSource  # noqa: E402
from llm.step import Context  # noqa: E402

PEER = ROOT / ".venv-bench" / "bin" / "python"


class MadeSite(Site):
    """The site with its pages made once, at whatever address it is served."""

    def __init__(self) -> None:
        super().__init__(standard_library(), topics())
        self.made: dict[str, Response] = {}
        self.address = SITE

    def respond(self, path: str) -> Response:
        """The answer to GET `path`, as made the first time."""
        if path not in self.made:
            found = super().respond(path)
            body = found.body.replace(SITE.encode(), self.address.encode())
            headers = {k: v.replace(SITE, self.address) for k, v in found.headers.items()}
            self.made[path] = Response(found.status, found.content_type, body, headers)
        return self.made[path]


def serve(pipe: Connection) -> None:
    """Serve the site until something comes through the pipe; sends the address first."""
    site = MadeSite()
    with server.serve(site) as place:
        site.address = f"http://{place}"
        pipe.send(site.address)
        pipe.recv()


def ours(start: str, concurrency: int, folder: Path) -> tuple[float, set[str]]:
    """Seconds, and the addresses of the pages."""
    for name in ("out", "work"):
        (folder / name).mkdir()
    values = WebSource(
        seeds=(start,),
        delay_seconds=0.0,
        concurrency=concurrency,
        host_concurrency=concurrency,
        sitemaps=False,
    )
    begun = time.perf_counter()
    web.crawl(values, {}, Context(out=folder / "out", work=folder / "work"))
    seconds = time.perf_counter() - begun
    return seconds, set(pq.read_table(folder / "out" / "index.parquet")["url"].to_pylist())


def peer(python: Path, start: str, concurrency: int, folder: Path) -> tuple[float, set[str], str]:
    """Seconds, the addresses of the pages, and the peer's name."""
    out = folder / "pages.jsonl"
    script = Path(__file__).with_name("crawl_peer.py")
    command = [str(python), str(script), start, str(concurrency), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"scrapy failed: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    with out.open(encoding="utf8") as lines:
        urls = {json.loads(line)["url"] for line in lines}
    return said["seconds"], urls, f"scrapy {said['version']}"


def main() -> None:
    """Run both in turn and print the table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="paired runs (count)")
    parser.add_argument("--concurrency", type=int, default=16, help="requests at once (count)")
    parser.add_argument("--peer-python", type=Path, default=PEER, help="Python that has scrapy")
    options = parser.parse_args()
    if not options.peer_python.exists():
        raise SystemExit(f"{options.peer_python} is missing: run `make bench-setup` first")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        start = f"{here.recv()}/"
        rows = measure(start, options)
        here.send("enough")
    finally:
        process.join(10)
        process.terminate()
    report(rows)


def measure(start: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a pair of runs: pages, and the seconds of both. The first run only makes the pages."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="penstock-crawl-") as base:
        for run in range(options.runs + 1):
            folder = Path(base, str(run))
            folder.mkdir()
            seconds, found = ours(start, options.concurrency, folder)
            if not run:
                continue
            theirs, others, name = peer(options.peer_python, start, options.concurrency, folder)
            if found != others:
                raise SystemExit(
                    f"not the same pages: {len(found)} and {len(others)}, {sorted(found ^ others)[:5]}"
                )
            rows.append({"pages": len(found), "ours": seconds, "theirs": theirs, "peer": name})
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Print the runs as pages a second."""
    name = rows[0]["peer"]
    print(
        f"{os.cpu_count()} cores; {rows[0]['pages']} pages, the same for both, in each of the runs"
    )
    print(f"{'run':>4} {'ours, pages/s':>15} {name + ', pages/s':>24} {'ratio':>7}")
    for number, row in enumerate(rows, start=1):
        speeds = row["pages"] / row["ours"], row["pages"] / row["theirs"]
        print(f"{number:>4} {speeds[0]:>15.1f} {speeds[1]:>24.1f} {speeds[0] / speeds[1]:>7.2f}")
    result = {
        "benchmark": "crawl",
        "unit": "pages/s",
        "ours": round(statistics.median(row["pages"] / row["ours"] for row in rows), 1),
        "peers": {name: round(statistics.median(row["pages"] / row["theirs"] for row in rows), 1)},
        "ratio": round(statistics.median(row["theirs"] / row["ours"] for row in rows), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
