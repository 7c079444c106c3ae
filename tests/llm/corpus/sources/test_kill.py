"""A crawl that is killed with kill -9 and run again must lose nothing and ask for nothing twice."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE

PAGES = 150
AT_ONCE = 3
# Requests, in all, at which a crawl is killed: with robots.txt, the sitemap and the seed under way
# (each of which is then asked for again), and twice among pages.
KILLS = (1, 3, 5, 31, 77)
# How long a crawl is given to put away the answers that it has (seconds).
SETTLE = 0.5

CRAWL = """
import json, sys, time
from pathlib import Path
from llm.corpus.web.crawler import WebSource
from llm.corpus.sources import web
from llm.machine import Machine
from llm.step import Context, Reporter
base, hosts, at_once = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
class StopWhileWriting(Reporter):
    def progress(self, done, total, unit):
        if unit == "pages written" and done > total / 3:
            (base / "writing").touch()
            time.sleep(1800)
report = StopWhileWriting() if len(sys.argv) > 4 else Reporter()
values = WebSource(seeds=("http://site.test/",), delay_seconds=0.0, concurrency=at_once,
                   host_concurrency=at_once, max_pages=120, shard_bytes=3000)
context = Context(out=base / "out", work=base / "work", report=report, machine=Machine(hosts=hosts))
result = web.crawl(values, {}, context)
print(json.dumps([result.content, result.counts]))
"""


def start(base: Path, site: Any, *more: str) -> subprocess.Popen[str]:
    shutil.rmtree(base / "out", ignore_errors=True)  # as the store does before each try
    for folder in (base / "out", base / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", CRAWL, str(base), json.dumps(site.hosts), str(AT_ONCE), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Any:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return json.loads(said)


def fill(site: Any) -> None:
    chance = random.Random(5)
    for i in range(PAGES):
        links = [f"/{j}" for j in range(4 * i + 1, 4 * i + 5) if j < PAGES]
        website_path = f"/{i}" if i else "/"
        site.add(website_path, f"page {i}", *links, "/1", slow=chance.random() / 40)
    site.answers["/sitemap.xml"] = type(site.answers["/"])(
        b"<urlset><url><loc>http://site.test/149</loc></url></urlset>"
    )


class Held:
    """Keeps back the site's answers from the `wanted`-th request on, so that no crawl can finish."""

    def __init__(self, site: Any, wanted: int) -> None:
        self.site, self.wanted = site, wanted
        self.paths: list[str] = []
        self.over = threading.Event()
        self.plain = site.reply

    def __enter__(self) -> "Held":
        self.site.reply = self.reply
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.site.reply = self.plain

    def reply(self, path: str, headers: dict[str, str]) -> Any:
        answer = self.plain(path, headers)
        if len(self.site.requests) >= self.wanted:
            self.paths.append(path)
            self.over.wait(PATIENCE)
        return answer

    def wait(self) -> None:
        """Until the crawl waits for held answers only: for as many as it may, or for all it has."""
        end = time.monotonic() + PATIENCE
        while not self.paths and time.monotonic() < end:
            time.sleep(0.002)
        end = time.monotonic() + SETTLE
        while len(self.paths) < AT_ONCE and time.monotonic() < end:
            time.sleep(0.002)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill -9; a process that came to its end before is an error."""
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def paths(site: Any) -> list[str]:
    return [path for _, path, _ in site.requests]


def test_killed_anywhere_and_run_again_it_comes_to_the_same(website: Any, tmp_path: Path) -> None:
    fill(website)
    undisturbed = result(start(tmp_path / "calm", website))
    assert undisturbed[1]["pages"] == 120
    once = sorted(paths(website))
    assert len(once) == len(set(once)) == 122
    website.requests.clear()
    under_way, at_kills = list[str](), list[list[str]]()
    for wanted in KILLS:
        before = len(website.requests)
        with Held(website, wanted) as held:
            process = start(tmp_path / "killed", website)
            held.wait()
            kill(process)
        assert 1 <= len(held.paths) <= AT_ONCE
        # Whatever was asked again had been under way at the kill before.
        again = set(paths(website)[:before]) & set(paths(website)[before:])
        assert again <= set(under_way), wanted
        under_way = held.paths
        at_kills.append(under_way)
    assert at_kills[:3] == [["/robots.txt"], ["/sitemap.xml"], ["/"]]
    assert [len(some) for some in at_kills[3:]] == [AT_ONCE, AT_ONCE]
    # Once more while the artifact is written, when some shards are there and others are not.
    before = len(website.requests)
    process = start(tmp_path / "killed", website, "stop while writing")
    while not (tmp_path / "killed/writing").exists() and process.poll() is None:
        time.sleep(0.01)
    kill(process)
    assert set(paths(website)[:before]) & set(paths(website)[before:]) <= set(under_way)
    written = {path.name for path in (tmp_path / "killed/out/pages").glob("*.warc.gz")}
    assert 0 < len(written) < undisturbed[1]["shards"]
    assert not (tmp_path / "killed/out/failures.parquet").exists()
    before = len(website.requests)
    disturbed = result(start(tmp_path / "killed", website))
    assert len(website.requests) == before, "every page was there when the writing began"
    assert disturbed[0] == undisturbed[0]
    assert disturbed[1]["pages"] == undisturbed[1]["pages"]
    assert sorted(set(paths(website))) == once
    assert before - len(once) <= sum(map(len, at_kills))
    assert result(start(tmp_path / "killed", website))[0] == undisturbed[0]
    assert len(website.requests) == before, "a finished crawl asks for nothing"
