"""What a run leaves behind, also where it dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from llm.runs import collect, find_garbage
from tasks.engine.home import PROJECT, Home
from tasks.engine.run import added
from tests.waiting import PATIENCE

KILLED = """
import os, signal, sys
from pathlib import Path
from llm.step import Reporter
from tasks.engine.home import Home
from tasks.commands.local import run_locally

run_locally(Home(Path(sys.argv[1])), sys.argv[2], until="crawl", report=Reporter())
"""


def sources(folder: Path, count: int) -> str:
    lines = []
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"The text with the number {number}. " * 20)
        lines.append(f"    s{number}: {{type: files, path: {folder}/{number}.txt}}")
    return "\n".join(lines)


def test_what_a_killed_run_made_is_no_garbage(tmp_path: Path) -> None:
    """Killed in the last of nine calls of a stage: the eight artifacts before it stay."""
    (tmp_path / "killer.py").write_text(
        "import os, signal\n\n\ndef documents():\n    os.kill(os.getpid(), signal.SIGKILL)\n    yield {}\n"
    )
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: r\ncrawl:\n  sources:\n{sources(tmp_path, 8)}\n"
        "    killer: {type: hook, function: 'killer:documents'}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "home"), str(recipe)],
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{tmp_path}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    home = Home(tmp_path / "home")
    [record] = home.runs.close_crashed()
    assert len(list(home.store.artifacts())) == 8
    assert len(record.calls) == 8 and not record.stages
    with (home.folder / "runs" / f"{record.id}.calls.jsonl").open("a") as stream:
        stream.write('{"name": "crawl s9", "refer')  # a line that a kill cut short
    garbage = find_garbage(home.store, home.runs)
    assert not garbage.artifacts
    collect(home.store, home.runs, garbage)
    assert len(list(home.store.artifacts())) == 8


def test_counts_of_several_calls_add_up() -> None:
    one = {"pages": 3, "failures": {"gone": 1}, "encoder": "a", "whole": True}
    other = {"pages": 4, "failures": {"gone": 2, "slow": 1}, "encoder": "b", "whole": False}
    assert added(added({}, one), other) == {
        "pages": 7,
        "failures": {"gone": 3, "slow": 1},
        "encoder": "b",
        "whole": False,
    }
