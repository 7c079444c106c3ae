"""Run records, pointers, liveness and garbage."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

from llm.runs import RunRecord, Runs, collect, find_garbage
from llm.store import Reference, Store
from tests.waiting import PATIENCE


def record(
    runs: Runs,
    name: str,
    started: float,
    reference: Reference | None = None,
    outcome: str = "completed",
) -> RunRecord:
    steps = [] if reference is None else [{"name": "extract", "reference": reference.to_json()}]
    made = RunRecord(
        id=name,
        recipe="demo",
        snapshot="s",
        values={"policy": {"keep_runs": 2}},
        started_at=started,
        outcome=outcome,
        stages={"clean": {"outputs": {}, "steps": steps}} if steps else {},
    )
    runs.save(made)
    return made


def put(store: Store, tmp_path: Path, key: str) -> Reference:
    source = tmp_path / key
    source.mkdir()
    (source / "file").write_text(key * 100)
    manifest = {"step": "extract", "key": key, "content": None, "parts": {}, "seconds": 1}
    return store.commit(source, manifest, f"base-{key}").reference


def test_a_pointer_moves_only_from_what_was_expected(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.pointer("champion") is None
    assert runs.move_pointer("champion", None, {"key": "a"})
    assert not runs.move_pointer("champion", None, {"key": "b"})
    assert runs.pointer("champion") == {"key": "a"}
    assert runs.move_pointer("champion", {"key": "a"}, {"key": "b"})
    assert runs.pointers() == {"champion": {"key": "b"}}


def test_garbage_is_what_no_kept_run_and_no_pointer_refers_to(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    references = {key: put(store, tmp_path, key) for key in ("old", "champion", "new", "loose")}
    record(runs, "r1", 1.0, references["old"])
    record(runs, "r2", 2.0, references["champion"])
    record(runs, "r3", 3.0, references["new"])
    runs.move_pointer("champion", None, {"references": [references["champion"].to_json()]})
    garbage = find_garbage(store, runs, keep_runs=1)
    assert {item.reference.key for item in garbage.artifacts} == {"old", "loose"}
    assert garbage.bytes == 100 * len("old") + 100 * len("loose")
    assert [item.id for item in garbage.records] == ["r2", "r1"]
    collect(store, runs, garbage)
    assert {item.reference.key for item in store.artifacts()} == {"champion", "new"}
    assert find_garbage(store, runs, keep_runs=1).bytes == 0


def test_a_recipe_says_how_many_of_its_runs_are_kept(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    for number in range(4):
        record(runs, f"r{number}", float(number), put(store, tmp_path, f"k{number}"))
    garbage = find_garbage(store, runs)
    assert [item.id for item in garbage.records] == ["r1", "r0"]
    assert {item.reference.key for item in garbage.artifacts} == {"k0", "k1"}


def _live(folder: str, started: Any) -> None:
    runs = Runs(Path(folder))
    with runs.alive("r1"):
        started.set()
        time.sleep(PATIENCE)


def test_a_run_whose_process_was_killed_is_found_out(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    record(runs, "r1", 1.0, outcome="running")
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_live, args=(str(tmp_path), started))
    process.start()
    assert started.wait(PATIENCE)
    assert runs.is_alive("r1")
    assert runs.close_crashed() == []
    process.kill()
    process.join()
    assert not runs.is_alive("r1")
    assert [run.id for run in runs.close_crashed()] == ["r1"]
    assert runs.load("r1").outcome == "crashed"
    assert runs.left_signs() == ["r1"]


def test_nothing_is_collected_while_a_run_is_alive(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), Runs(tmp_path)
    put(store, tmp_path, "unnamed")
    record(runs, "r1", 1.0, outcome="running")
    with runs.alive("r1"):
        assert not find_garbage(store, runs, keep_runs=1).artifacts
    assert len(find_garbage(store, runs, keep_runs=1).artifacts) == 1
