"""How fast commands answer where nothing is to be done, beside an earlier revision.

    python benchmarks/answering.py REVISION [--rounds 3] [--shards 10000]

Checks the revision out into a temporary worktree, runs a small demo there and here, and then the
same commands in turn on both, all cached. Processor seconds and wall time are of the command with
all processes that it started; memory is the greatest sum of their resident sets, looked at 50 times
a second. --shards: also plans and runs a recipe with this many shards, whose artifacts are made up
(this revision only). The last line is JSON.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

SMALL = (
    "crawl.sources.docs.max_pages=30",
    "tokenizer.vocabulary=400",
    "tokenize.validation.fraction=0.3",
    "pretrain.model.layers=1",
    "pretrain.model.d_model=32",
    "pretrain.model.context_length=64",
    "pretrain.batch_tokens=512",
    "pretrain.tokens=2048",
)
SET = [item for value in SMALL for item in ("--set", value)]
COMMANDS: dict[str, list[str]] = {
    "help": ["--help"],
    "status": ["status"],
    "show": ["show", "pretrain"],
    "schema": ["schema"],
    "unknown recipe": ["plan", "no-such-recipe"],
    "plan, cached": ["plan", "demo", *SET, "--no-trial"],
    "why, cached": ["why", "pretrain", *SET],
    "run, cached, no server": ["run", "demo", *SET],
}
PREPARE = """
import sys
from pathlib import Path
from llm.step import Reporter
from tasks.engine.home import Home
from tasks.commands.local import run_locally
run_locally(Home(Path(sys.argv[1])), "demo", sys.argv[2:], report=Reporter())
"""
LOOKS_A_SECOND = 50
FUNNEL = b'{"rows": []}'


def environment(tree: Path, home: Path) -> dict[str, str]:
    """Of a command of one side: its own code and home, no server of anybody's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "PENSTOCK"))}
    return {**kept, "PYTHONPATH": str(tree), "PENSTOCK_HOME": str(home), "OMP_NUM_THREADS": "1"}


def measure(tree: Path, home: Path, arguments: list[str]) -> dict[str, float]:
    """Processor seconds, wall seconds and peak memory (MB) of a command and all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=tree,
        env=environment(tree, home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak, watched = 0, psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        try:
            for one in [watched, *watched.children(recursive=True)]:
                total += one.memory_info().rss
        except psutil.Error:
            pass
        peak = max(peak, total)
        time.sleep(1 / LOOKS_A_SECOND)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": time.monotonic() - started,
        "megabytes": peak / 1e6,
    }


def made_up(home: Path, shards: int) -> Path:
    """A home in which a recipe with this many shards has its artifacts; returns the recipe.

    The stages' own wiring asks for them; what they hold is made up, for only their manifests are
    looked at.
    """
    from llm import durable
    from llm.recipe import load_machine, load_recipe
    from llm.step import digest_of
    from llm.store import Artifact, Reference
    from tasks.engine.home import Home
    from tasks.engine.record import recorded
    from tasks.engine.run import Done, Options, Run, carry_out_stage
    from tasks.engine.step import Call
    from tasks.stages.wiring import WIRING

    class MadeUp(Run):
        notes_calls = False

        def step(self, call: Call) -> Reference:
            folder = self.runs.folder / "store" / "artifacts" / call.step.name / call.key
            parts: dict[str, str] = {}
            if call.step.name == "crawl":
                parts = {f"{n:05d}": digest_of(["page", str(n)]) for n in range(shards)}
            if call.step.name == "decide":
                parts = {name: digest_of(["decide", name]) for name in call.values.shards}
            manifest: dict[str, Any] = {
                **call.describe(),
                "content": digest_of([call.key]),
                "parts": parts,
                "counts": {"pages": 1, "documents": 1, "bytes": 1, "tokens": 1, "validation": {}},
                "summary": "made up",
                "seconds": 1.0,
                "made": {"at": 0.0, "host": "", "python": ""},
                "files": {
                    "funnel.json": {"bytes": len(FUNNEL), "digest": durable.bytes_digest(FUNNEL)}
                },
            }
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "funnel.json").write_bytes(FUNNEL)
            (folder / "manifest.json").write_text(json.dumps(manifest))
            reference = Artifact(manifest).reference
            done = Done(call.name, call.step.name, "run", 1.0, "made up", reference)
            self.ended(done, manifest["counts"])
            return reference

    path = home / "many.yaml"
    (home / "text.txt").write_text("text")
    path.write_text(
        f"name: many\nsnapshot: many\ncrawl: {{sources: {{mine: {{type: files, path: {home}/text.txt}}}}}}\n"
        "clean: {planted: 0}\n"
    )
    made, recipe = Home(home), load_recipe(str(path))
    with recorded(made.runs, recipe, "many", {}) as run_id:
        for stage in ("crawl", "clean", "tokenizer", "tokenize"):
            machine = load_machine(made.machine_file)
            run = MadeUp(stage, recipe, "many", made.store, made.runs, machine, Options())
            carry_out_stage(run, WIRING[stage], run_id)
    return path


def main() -> None:
    """Prepare both sides, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=0)
    parser.add_argument("--only", action="append", choices=COMMANDS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        base = Path(place) / "base"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(base), given.revision], check=True)
        try:
            sides = {"base": base, "here": HERE}
            told = compare(sides, Path(place), given.rounds, given.only or list(COMMANDS))
        finally:
            subprocess.run([*git, "remove", "--force", str(base)], check=True)
        if given.shards:
            home = Path(place) / "many"
            home.mkdir()
            recipe = str(made_up(home, given.shards))
            for name, command in (("plan", ["plan", "--no-trial"]), ("run", ["run"])):
                found = measure(HERE, home, [*command, recipe, "--until", "tokenize"])
                told[f"{name}, {given.shards:,} shards"] = {"here": found}
                print(f"{name}, {given.shards:,} shards: {show(found)}", flush=True)
    told["python"] = platform.python_version()
    print(json.dumps(told))


def compare(sides: dict[str, Path], place: Path, rounds: int, names: list[str]) -> dict[str, Any]:
    """Medians of each command on both sides, which take turns."""
    for side, tree in sides.items():
        home = place / f"home-{side}"
        home.mkdir()
        subprocess.run(
            [sys.executable, "-c", PREPARE, str(home), *SMALL],
            cwd=tree,
            env=environment(tree, home),
            check=True,
            stdout=subprocess.DEVNULL,
        )
    told: dict[str, Any] = {}
    for name in names:
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for number in range(rounds + 1):  # the first fills caches, and does not count
            for side, tree in sides.items():
                one = measure(tree, place / f"home-{side}", COMMANDS[name])
                if number:
                    found[side].append(one)
        told[name] = {
            side: {key: statistics.median(one[key] for one in ones) for key in ones[0]}
            for side, ones in found.items()
        }
        for side in sides:
            print(f"{name}, {side}: {show(told[name][side])}", flush=True)
    return told


def show(found: dict[str, float]) -> str:
    """One measurement for people."""
    return (
        f"{found['cpu']:.2f} s of processor time, {found['wall']:.2f} s, "
        f"{found['megabytes']:.0f} MB"
    )


if __name__ == "__main__":
    main()
