"""Runs are in the order in which they began, whatever the clock said; what is damaged stops nothing."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm import durable
from llm.runs import RunRecord, Runs, collect, find_garbage
from llm.step import BadInput
from llm.store import Reference, Store
from tasks.engine.home import PROJECT
from tests.llm.runs.test_runs import put, record
from tests.waiting import PATIENCE


def test_a_clock_that_went_back_changes_no_order(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for place, clock in enumerate([5e9, 1e9, 3e9, -1.0]):
        record(runs, f"r{place}", clock, Reference("extract", f"k{place}", "c"))
    assert [run.id for run in runs.all()] == ["r3", "r2", "r1", "r0"]
    newest = runs.newest("demo", "clean")
    assert newest is not None and newest.id == "r3"
    assert [run.order for run in runs.all()] == [4, 3, 2, 1]
    night = runs.night_before("demo", "t", "clean")
    assert night is not None and night.id == "r3"


def test_garbage_is_of_the_oldest_runs_and_not_of_the_earliest_dates(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    for place, clock in enumerate([9e9, 1.0, 2.0]):
        record(runs, f"r{place}", clock, put(store, tmp_path, f"k{place}"))
    assert [one.reference.key for one in find_garbage(store, runs, 2).artifacts] == ["k0"]


def test_runs_that_begin_at_the_same_time_get_places_of_their_own(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def begin(number: int) -> None:
        start.wait(PATIENCE)
        record(Runs(tmp_path), f"r{number}", 1.0)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.order for run in Runs(tmp_path).all()) == list(range(1, 9))
    (tmp_path / "run-count").unlink()
    record(Runs(tmp_path), "later", 0.0)
    assert Runs(tmp_path).all()[0].id == "later", "a lost counter goes on from the records"


DAMAGE = {
    "cut short": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not a record": lambda text: "[1, 2]",
    "a field of another kind": lambda text: text.replace('"stages": {', '"stages": 3, "x": {'),
    "newer": lambda text: text.replace('"version": 1', '"version": 2, "more": {}'),
    "unknown field": lambda text: text.replace('"version": 1', '"version": 1, "more": {}'),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_record_that_cannot_be_read_is_passed_over_named_and_kept(
    tmp_path: Path, how: str
) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    record(runs, "r0", 1.0, put(store, tmp_path, "loose"))
    record(runs, "r1", 2.0, put(store, tmp_path, "told"))
    record(runs, "r2", 3.0, put(store, tmp_path, "new"))
    path = runs.path("r1")
    path.write_text(DAMAGE[how](path.read_text()))
    assert [run.id for run in runs.all()] == ["r2", "r0"]
    assert runs.newest("demo", "clean") is not None and runs.close_crashed() == []
    (problem,) = runs.unreadable().values()
    assert str(path) in problem
    assert ("newer version" in problem) == (how == "newer")
    with pytest.raises(BadInput, match=r"r1\.json"):
        runs.load("r1")
    garbage = find_garbage(store, runs, keep_runs=1)
    # Of a part that is lost nobody can tell what it referred to.
    lost = how in ("cut short", "empty")
    assert list(garbage.unsure) == ([path] if lost else [])
    gone = set() if lost else {"loose", "told"} if how == "not a record" else {"loose"}
    assert {one.reference.key for one in garbage.artifacts} == gone
    collect(store, runs, garbage)
    assert path.exists(), "it may be mended"
    path.unlink()
    collect(store, runs, find_garbage(store, runs, keep_runs=1))
    assert [one.reference.key for one in store.artifacts()] == ["new"]


def test_a_damaged_pointer_is_named_and_keeps_what_it_names(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    champion = put(store, tmp_path, "champion")
    runs.move_pointer("champion", None, {"references": [champion.to_json()]})
    runs.move_pointer("trunk", None, {"references": []})
    path = tmp_path / "pointers" / "champion.json"
    path.write_text(path.read_text()[:-3])
    assert list(runs.pointers()) == ["trunk"]
    assert str(path) in str(runs.unreadable())
    assert not find_garbage(store, runs, keep_runs=1).artifacts
    with pytest.raises(BadInput, match="restore it from a backup"):
        runs.pointer("champion")
    with pytest.raises(BadInput, match="restore it from a backup"):
        runs.move_pointer("champion", None, {"references": []})


def test_calls_of_a_run_that_died_are_referred_to(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    made, loose = put(store, tmp_path, "made"), put(store, tmp_path, "loose")
    record(runs, "r1", 1.0, outcome="crashed")
    runs.note("r1", {"name": "extract", "reference": made.to_json()})
    with (tmp_path / "runs" / "r1.calls.jsonl").open("a") as stream:
        stream.write('{"name": "cut sho')
    assert [one.key for one in runs.load("r1").references()] == ["made"]
    found = find_garbage(store, runs)
    assert [one.reference for one in found.artifacts] == [loose]
    runs.save(runs.load("r1"))
    assert "calls" not in json.loads(runs.path("r1").read_text())
    runs.forget("r1")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.fixture
def taker(tmp_path: Path) -> Iterator[Any]:
    """Starts a run, in a process of its own, that takes whatever there is."""
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float = 120.0) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("waiting.py")
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path), str(seconds)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_a_run_took_while_the_question_waited_is_not_removed(
    tmp_path: Path, taker: Any
) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    put(store, tmp_path, "wanted")
    told = find_garbage(store, runs, keep_runs=1)
    assert [one.reference.key for one in told.artifacts] == ["wanted"]
    process = taker()
    assert process.stdout.readline() == "alive\n"
    with pytest.raises(BadInput, match="a run is in progress"):
        collect(store, runs, told)
    assert find_garbage(store, runs, keep_runs=1).busy
    process.kill()
    process.wait()
    later = put(store, tmp_path, "later")
    gone = collect(store, runs, told)
    assert not gone.artifacts, "the run that was killed refers to it"
    assert {one.reference.key for one in store.artifacts()} == {"wanted", later.key}


def test_a_run_does_not_start_in_the_middle_of_a_removal(tmp_path: Path, taker: Any) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    put(store, tmp_path, "k")
    with runs.alone():
        process = taker(0.0)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        assert not runs.path("taker").exists()
        store.remove_named(("extract", "k"))
    assert process.wait(PATIENCE) == 0
    assert list(runs.load("taker").references()) == []


def test_a_paused_training_is_not_abandoned_by_the_clock(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    record(runs, "r1", 1.0, outcome="failed")
    said = {"recipe": "demo", "stage": "clean", "label": "x", "order": runs.order()}
    with store.work("extract", "paused", said) as folder:
        (folder / "state").write_text("days of work")
    with store.work("extract", "unsaid") as unsaid:
        (unsaid / "state").write_text("days of work")
    for path in [*folder.rglob("*"), folder, *unsaid.rglob("*"), unsaid]:
        os.utime(path, (1.0, 1.0))  # or the clock jumped by years
    assert not find_garbage(store, runs).folders
    # A later run of the recipe that took the stage from before does not supersede it.
    taken = record(runs, "r2", 2.0, put(store, tmp_path, "k"))
    taken.stages["clean"]["steps"][0]["action"] = "taken"
    runs.save(taken)
    assert str(folder) not in find_garbage(store, runs).folders
    record(runs, "r3", 3.0, put(store, tmp_path, "k2"))
    found = find_garbage(store, runs)
    assert set(found.folders) == {str(folder), str(unsaid)}
    with store.work("extract", "paused"):
        collect(store, runs, found)
        assert (folder / "state").exists(), "held by somebody"
    assert not unsaid.exists()


def test_listings_read_a_record_and_a_manifest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is counted, not seconds: what was read before is not read again."""
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    for number in range(30):
        record(runs, f"r{number}", 1.0, put(store, tmp_path, f"k{number}"))
    monkeypatch.setattr("llm.derived.SETTLED_SECONDS", -1.0)
    runs.heads(), store.summaries()
    reads: list[str] = []
    load, read = Runs._parsed, Store.read

    def loading(self: Runs, run_id: str) -> RunRecord:
        reads.append(run_id)
        return load(self, run_id)

    def reading(self: Store, step: str, key: str) -> Any:
        reads.append(key)
        return read(self, step, key)

    monkeypatch.setattr(Runs, "_parsed", loading)
    monkeypatch.setattr(Store, "read", reading)
    assert len(Runs(tmp_path).heads()) == 30 and len(store.summaries()) == 30
    assert reads == []
    assert Runs(tmp_path).newest("demo", "clean") is not None
    assert reads in ([], ["r29"]), "only the one that is asked for, unless it was read before"
    reads.clear()
    assert len(find_garbage(store, runs, keep_runs=2).artifacts) == 28
    assert sorted(reads) == ["r28", "r29"], "the records that are kept"
    reads.clear()
    changed = load(runs, "r3")
    changed.outcome = "failed"
    runs.save(changed)
    assert {run.id: run.outcome for run in runs.heads()}["r3"] == "failed"
    assert reads == ["r3"]


def test_what_is_kept_of_listings_may_be_lost_or_spoilt(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    record(runs, "r1", 1.0, put(store, tmp_path, "k"))
    for spoilt in (b"", b"no database" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000):
        for path in (tmp_path / "run-heads.sqlite", tmp_path / "store" / "manifests.sqlite"):
            durable.write_bytes(path, spoilt)
        assert [head.id for head in runs.heads()] == ["r1"]
        assert list(store.summaries()) == [("extract", "k")]


def test_a_record_replaced_within_a_tick_of_the_clock_is_read_again(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    made = record(runs, "r1", 1.0, outcome="running")
    for outcome in ("failed!", "running", "crashed") * 10:
        made.outcome = outcome
        runs.save(made)
        assert runs.heads()[0].outcome == outcome
