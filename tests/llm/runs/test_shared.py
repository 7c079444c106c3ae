"""Two machines with one object store see the same runs and the same champion."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm.runs import RunRecord, Runs, collect, find_garbage
from llm.step import BadInput
from llm.store import Reference, Store
from llm.store.lease import Leases, file_of
from tests.llm.store.making import files
from tests.waiting import PATIENCE, wait_for

Machines = tuple[tuple[Store, Runs], tuple[Store, Runs]]


@pytest.fixture
def machines(object_kind: str, make_store: Callable[..., Store], tmp_path: Path) -> Machines:
    """Two machines: each with a folder of its own, and the store that both share."""
    made = []
    for name in ("one", "two"):
        store = make_store(object_kind, scratch=f"{name}/store")
        assert store.leases is not None
        store.leases.poll = 0.01
        made.append((store, Runs(tmp_path / name, store)))
    return made[0], made[1]


def record(runs: Runs, name: str, *made: Reference, outcome: str = "completed") -> RunRecord:
    steps = [{"name": "extract", "reference": one.to_json()} for one in made]
    stages = {"clean": {"outputs": {}, "steps": steps, "ran": 1}} if steps else {}
    values = {"policy": {"keep_runs": 1}}
    found = RunRecord(name, "demo", "s", values, 1.0, outcome=outcome, stages=stages)
    runs.save(found)
    return found


def put(store: Store, folder: Path, key: str) -> Reference:
    source = folder / f"made-{key}"
    source.mkdir()
    (source / "file").write_text(key * 100)
    manifest = {"step": "extract", "key": key, "content": None, "parts": {}, "seconds": 1}
    return store.commit(source, manifest, f"base-{key}").reference


def test_what_one_machine_ran_the_other_goes_on_from(machines: Machines, tmp_path: Path) -> None:
    (store, one), (_, two) = machines
    made = put(store, tmp_path, "k1")
    record(one, "r1", made)
    newest = two.newest("demo", "clean")
    assert newest is not None and list(newest.references()) == [made]
    assert record(two, "r2").order == 2 and record(one, "r3").order == 3
    assert [head.id for head in one.heads()] == ["r3", "r2", "r1"]
    assert [head.id for head in two.heads()] == ["r3", "r2", "r1"]
    two.forget("r2")
    assert [head.id for head in one.heads()] == ["r3", "r1"]
    assert two.order() == 3 and record(two, "r4").order == 4


def test_a_champion_that_moved_meanwhile_is_not_moved_over(machines: Machines) -> None:
    (_, one), (_, two) = machines
    assert one.pointer("champion") is None
    assert one.move_pointer("champion", None, {"key": "a"})
    assert not two.move_pointer("champion", None, {"key": "b"})
    assert two.pointer("champion") == {"key": "a"}
    assert two.move_pointer("champion", {"key": "a"}, {"key": "b"})
    assert not one.move_pointer("champion", {"key": "a"}, {"key": "c"})
    assert one.pointers() == {"champion": {"key": "b"}}


def test_of_machines_that_move_a_pointer_at_the_same_time_one_succeeds(
    object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    """Each counts one up, ten times: no step is lost. A lock of one machine does not help here."""
    every = []
    for number in range(3):
        store = make_store(object_kind, scratch=f"{number}/store")
        every.append(Runs(tmp_path / str(number), store))
    every[0].move_pointer("count", None, {"value": 0})

    def count(runs: Runs) -> None:
        for _ in range(10):
            while True:
                now = runs.pointer("count")
                assert now is not None
                if runs.move_pointer("count", now, {"value": now["value"] + 1}):
                    break

    threads = [threading.Thread(target=count, args=(runs,)) for runs in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert every[0].pointer("count") == {"value": 30}
    history = every[1].place.sizes("pointers", "count")
    assert len(history) == 31, "each move is a file that stays"


def test_a_machine_that_slept_moves_nothing_and_takes_no_place_twice(machines: Machines) -> None:
    """However far the others went meanwhile."""
    (_, one), (_, two) = machines
    one.move_pointer("champion", None, {"key": 0})
    slept = two._pointers._read("champion")
    last = two._order.last(lambda: 0)
    for number in range(5):
        assert one.move_pointer("champion", {"key": number}, {"key": number + 1})
        record(one, f"r{number}")
    assert not two._pointers._write("champion", slept[0], {"key": "late"}, [], {})
    assert two.pointer("champion") == {"key": 5}
    assert not two.place.create(b"", "run-count", f"{last + 1:012d}")
    assert record(two, "late").order == 6


def test_a_damaged_pointer_is_named(machines: Machines) -> None:
    (store, one), (_, two) = machines
    one.move_pointer("champion", None, {"key": "a"})
    one.move_pointer("champion", {"key": "a"}, {"key": "b"})
    place = ("pointers", "champion", file_of(2))
    store.backend.write(b"{", *place)
    assert two.pointers() == {}
    (path,) = two.unreadable()
    assert str(path) == store.path(*place)
    with pytest.raises(BadInput, match="restore it from a backup"):
        two.pointer("champion")
    store.backend.remove_file(*place)
    assert two.pointer("champion") == {"key": "a"}, "the one before"


def test_nothing_is_deleted_while_another_machine_runs(machines: Machines, tmp_path: Path) -> None:
    (store, one), (other, two) = machines
    loose = put(store, tmp_path, "loose")
    with one.running("r1"):
        assert find_garbage(other, two, keep_runs=1).busy
        with pytest.raises(BadInput, match=r"on another machine \(r1\)"), two.alone():
            pass
    found = find_garbage(other, two, keep_runs=1)
    assert [one.reference for one in found.artifacts] == [loose]
    collect(other, two, found)
    assert store.find(loose.step, loose.key) is None


def test_a_run_waits_while_another_machine_deletes(machines: Machines) -> None:
    (_, one), (_, two) = machines
    order: list[str] = []
    begun = threading.Event()

    def run() -> None:
        begun.set()
        with two.in_use():
            order.append("runs")

    with one.alone():
        thread = threading.Thread(target=run)
        thread.start()
        assert begun.wait(PATIENCE)
        # It has its own sign by now, and waits.
        wait_for(lambda: two._shared is not None and two.place.sizes("leases", "alive"))
        order.append("deleted")
    thread.join(PATIENCE)
    assert order == ["deleted", "runs"]


def test_only_one_machine_deletes_at_a_time(machines: Machines) -> None:
    (_, one), (_, two) = machines
    with one.alone(), pytest.raises(BadInput, match="another machine deletes"), two.alone():
        pass
    with two.alone():
        pass


def test_a_run_of_another_machine_is_crashed_when_its_lease_is_over(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store, one), (_, two) = machines
    with one.running("r1"):
        record(one, "r1", outcome="running")
        record(one, "r2", outcome="running")
        store.backend.write(b"{}", "leases", "alive", "r2", file_of(1))
        ages = store.backend.ages

        def older(*folder: str) -> dict[str, float]:
            return {
                name: age + 1000.0 * name.startswith("r2/") for name, age in ages(*folder).items()
            }

        monkeypatch.setattr(two.place, "ages", older)
        assert [run.id for run in two.close_crashed()] == ["r2"]
        assert [run.id for run in two.close_crashed()] == []
    assert one.load("r2").outcome == "crashed" and one.load("r1").outcome == "running"


def test_what_a_run_made_is_kept_as_soon_as_it_is_made(machines: Machines, tmp_path: Path) -> None:
    """Also what it found, with the next that it made; another machine's collection sees both."""
    (store, one), (other, two) = machines
    found, made, loose = (put(store, tmp_path, key) for key in ("found", "made", "loose"))
    record(one, "r1", outcome="crashed")
    for reference, action in ((made, "run"), (found, "cached"), (made, "run")):
        one.note("r1", {"name": "x", "action": action, "reference": reference.to_json()})
    garbage = find_garbage(other, two, keep_runs=1)
    assert [one.reference for one in garbage.artifacts] == [loose]
    assert two.calls_of("r1") == [made, found, made] or set(two.calls_of("r1")) == {made, found}


def test_calls_of_a_run_become_one_file_when_the_record_is_saved(
    machines: Machines, tmp_path: Path
) -> None:
    (store, one), (_, two) = machines
    run = record(one, "r1", outcome="running")
    references = [put(store, tmp_path, f"k{number}") for number in range(5)]
    for reference in references:
        one.note("r1", {"name": "x", "action": "run", "reference": reference.to_json()})
    assert len(store.backend.sizes("runs", "r1.calls")) == 5
    one.save(run)
    assert len(store.backend.sizes("runs", "r1.calls")) == 1
    assert two.calls_of("r1") == one.calls_of("r1") == references
    one.note("r1", {"name": "x", "action": "run", "reference": references[0].to_json()})
    assert [head.id for head in two.heads()] == ["r1"], "the calls are no records"
    one.forget("r1")
    assert store.backend.sizes("runs") == {}
    assert list((tmp_path / "one" / "journals").glob("r1*")) == []


def test_words_are_taken_out_of_records_and_calls_wherever_they_lie(
    machines: Machines, tmp_path: Path
) -> None:
    (store, one), (_, two) = machines
    reference = put(store, tmp_path, "k1")
    run = record(one, "r1", reference)
    run.message = "at http://secret.example"
    one.save(run)
    call = {"name": "http://secret.example", "action": "cached", "reference": reference.to_json()}
    for _ in range(3):
        one.note("r1", call)
    changed = one.rewrite(lambda name, text: text.replace("secret", "(gone)"))
    assert len(changed) == 2
    assert two.load("r1").message == "at http://(gone).example"
    assert len(two.load("r1").calls) >= 1
    everywhere = [files(store).cat_file(path) for path in files(store).find(store.path("runs"))]
    everywhere += [path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert not any(b"secret" in data for data in everywhere)


def test_records_from_before_the_store_was_shared_are_brought_there(
    object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    local = Runs(tmp_path / "one")
    store = make_store(object_kind, scratch="one/store")
    made = put(store, tmp_path, "k1")
    record(local, "r1", made)
    local.note("r1", {"name": "x", "action": "run", "reference": made.to_json()})
    local.move_pointer("champion", None, {"key": "a"})
    for _ in range(2):
        shared: Any = Runs(tmp_path / "one", store)
        assert [head.id for head in shared.heads()] == ["r1"]
        assert shared.calls_of("r1") == [made]
        assert shared.pointer("champion") == {"key": "a"}
    assert record(shared, "r2").order == 2
    assert shared.move_pointer("champion", {"key": "a"}, {"key": "b"})
    assert Runs(tmp_path / "two", make_store(object_kind, scratch="two/store")).pointers() == {
        "champion": {"key": "b"}
    }
    assert (tmp_path / "one" / "before-shared" / "runs" / "r1.json").is_file()


def test_a_dead_sign_of_this_machine_keeps_nobody_from_deleting(
    machines: Machines, tmp_path: Path
) -> None:
    (store, one), _ = machines
    assert store.leases is not None
    dead = Leases(store.backend, tmp_path / "one" / "store", 1000.0)
    dead._take(("leases", "alive", "r1"), "runs r1", True)
    with one.alone():
        pass
