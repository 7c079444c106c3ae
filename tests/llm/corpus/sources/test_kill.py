"""A crawl that is killed with kill -9 and run again must lose nothing and ask for nothing twice."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PAGES = 150
AT_ONCE = 3

CRAWL = """
import json, sys
from pathlib import Path
from llm.corpus.web.crawler import WebSource
from llm.corpus.sources import web
from llm.step import Context, Machine
base, hosts, at_once = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
values = WebSource(seeds=("http://site.test/",), delay_seconds=0.0, concurrency=at_once,
                   host_concurrency=at_once, max_pages=120, shard_bytes=3000)
context = Context(out=base / "out", work=base / "work", machine=Machine(hosts=hosts))
result = web.crawl(values, {}, context)
print(json.dumps([result.content, result.counts]))
"""


def start(base: Path, site: Any) -> subprocess.Popen[str]:
    shutil.rmtree(base / "out", ignore_errors=True)  # as the store does before each try
    for folder in (base / "out", base / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", CRAWL, str(base), json.dumps(site.hosts), str(AT_ONCE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Any:
    said, _ = process.communicate(timeout=120)
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


def test_killed_anywhere_and_run_again_it_comes_to_the_same(website: Any, tmp_path: Path) -> None:
    fill(website)
    undisturbed = result(start(tmp_path / "calm", website))
    assert undisturbed[1]["pages"] == 120
    website.requests.clear()
    kills = 0
    chance = random.Random(11)
    # Kill once so many requests have come in all; one of the kills comes with the very first.
    for wanted in [1, *sorted(chance.sample(range(2, 115), 4))]:
        process = start(tmp_path / "killed", website)
        while len(website.requests) < wanted and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.communicate()
        kills += process.returncode == -9
    disturbed = result(start(tmp_path / "killed", website))
    assert kills >= 4
    assert disturbed[0] == undisturbed[0]
    assert disturbed[1]["pages"] == undisturbed[1]["pages"]
    asked = website.asked
    assert len(asked) == 120
    # Only what was under way at a kill may have been asked for again.
    assert sum(asked.values()) - len(asked) <= kills * AT_ONCE
    assert max(asked.values()) <= 1 + kills
    finished = len(website.requests)
    assert result(start(tmp_path / "killed", website))[0] == undisturbed[0]
    assert len(website.requests) == finished, "a finished crawl asks for nothing"
