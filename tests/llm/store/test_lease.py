"""Between machines a lease keeps work from being done twice, and the first commit wins."""

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from llm.store import Store
from llm.store.lease import Leases, file_of
from llm.store.locks import Busy
from llm.store.objects import Objects
from tests.llm.store.making import MANIFEST, files, put, text_of
from tests.waiting import PATIENCE, wait_for

LONG = 10_000.0
"""Seconds: a lease that cannot run out within a test."""
SHORT = 0.4


@pytest.fixture
def shared(tmp_path: Path) -> Objects:
    """An object store that several processes share: fsspec's own files, without rename."""
    root = tmp_path / "objects"
    return Objects(fsspec.filesystem("file", auto_mkdir=True), str(root))


def machine(shared: Any, folder: Path, name: str, seconds: float) -> Leases:
    return Leases(shared, folder / name, seconds)


def hold_until_killed(root: str, folder: Path, seconds: float, key: str, told: Any) -> None:
    place = Objects(fsspec.filesystem("file", auto_mkdir=True), root)
    with Leases(place, folder / "one", seconds).hold("write", key, what=f"is making write/{key}"):
        told.set()
        time.sleep(PATIENCE)


def held_elsewhere(shared: Objects, folder: Path, seconds: float, key: str = "k1") -> Any:
    """A process that holds the lease."""
    fork = multiprocessing.get_context("spawn")
    told = fork.Event()
    process = fork.Process(target=hold_until_killed, args=(shared.root, folder, seconds, key, told))
    process.start()
    assert told.wait(PATIENCE)
    return process


def test_who_waits_is_told_who_holds_it_and_until_when(
    shared: Objects, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = held_elsewhere(shared, tmp_path, LONG)
    two = machine(shared, tmp_path, "two", LONG)
    try:
        with (
            pytest.raises(Busy) as busy,
            two.hold("write", "k1", what="is making write/k1", wait=False),
        ):
            pass
    finally:
        process.kill()
        process.join()
    said = str(busy.value)
    assert said.startswith(f"another machine is making write/k1: process {process.pid} on ")
    assert "whose lease runs until 2" in said
    with two.hold("write", "k2", what="is making write/k2", wait=False):
        pass  # another name is free


def test_the_lease_of_a_killed_process_is_taken_over_when_its_term_is_over(
    shared: Objects, tmp_path: Path
) -> None:
    process = held_elsewhere(shared, tmp_path, SHORT)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    two = machine(shared, tmp_path, "two", SHORT)
    with two.hold("write", "k1", what="is making write/k1") as lease:
        assert lease.number == 2, "the dead one's file was still there"
    assert shared.sizes("leases") == {}


def test_the_same_machine_takes_over_at_once(shared: Objects, tmp_path: Path) -> None:
    process = held_elsewhere(shared, tmp_path, LONG)
    process.kill()
    process.join()
    again = machine(shared, tmp_path, "one", LONG)
    with again.hold("write", "k1", what="is making write/k1", wait=False) as lease:
        assert lease.number == 2


def test_a_lease_is_renewed_as_long_as_it_is_held(shared: Objects, tmp_path: Path) -> None:
    one = machine(shared, tmp_path, "one", SHORT)
    two = machine(shared, tmp_path, "two", LONG)

    def renewed() -> float:
        found = json.loads(shared.read("leases", "write", "k1", file_of(1)) or b"{}")
        return float(found.get("renewed", 0.0))

    with one.hold("write", "k1", what="works"):
        first = wait_for(renewed)
        wait_for(lambda: renewed() > first)
        with pytest.raises(Busy), two.hold("write", "k1", what="works", wait=False):
            pass
    with two.hold("write", "k1", what="works", wait=False):
        pass


def test_clocks_of_machines_are_not_compared(
    shared: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose clock is a day ahead does not take a lease that lives; one whose clock is a day
    behind does not wait for one that is over: ages are by the object store's clock alone."""
    living = held_elsewhere(shared, tmp_path, LONG)
    dead = held_elsewhere(shared, tmp_path, SHORT, "k2")
    dead.kill()
    dead.join()
    two = machine(shared, tmp_path, "two", LONG)
    two.poll = 0.01
    real = time.time
    for off in (86_400.0, -86_400.0):
        monkeypatch.setattr("llm.store.lease.time.time", lambda off=off: real() + off)
        with pytest.raises(Busy), two.hold("write", "k1", what="works", wait=False):
            pass
        if off < 0:
            with two.hold("write", "k2", what="works") as lease:
                assert lease.number == 2
    living.kill()
    living.join()


def test_one_of_many_gets_it(object_kind: str, make_store: Callable[..., Store]) -> None:
    stores = [make_store(object_kind, scratch=f"machine-{number}") for number in range(6)]
    inside: list[int] = []
    most: list[int] = []

    def work(store: Store, number: int) -> None:
        assert store.leases is not None
        store.leases.poll = 0.01
        with store.leases.hold("write", "k1", what="works"):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.01)
            inside.remove(number)

    threads = [
        threading.Thread(target=work, args=(store, number)) for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert most == [1] * 6


def test_who_slept_over_its_term_is_told_and_leaves_the_new_holder_alone(
    shared: Objects, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = machine(shared, tmp_path, "one", SHORT)
    with caplog.at_level(logging.WARNING), one.hold("write", "k1", what="works") as lease:
        # As if this process had stood still: another machine has taken it over.
        shared.create(b"{}", "leases", "write", "k1", file_of(lease.number + 1))
        wait_for(lambda: lease.is_lost)
    assert "another machine has taken it over" in caplog.text
    assert "the first result counts" in caplog.text
    assert file_of(lease.number + 1) in shared.sizes("leases", "write", "k1")


def test_two_machines_do_not_make_one_key_at_once(
    object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    one, two = make_store(object_kind, scratch="one"), make_store(object_kind, scratch="two")
    entered = threading.Event()
    order: list[str] = []

    def second() -> None:
        assert two.leases is not None
        two.leases.poll = 0.01
        entered.set()
        with two.work("extract", "k1"):
            order.append("two" if two.find("extract", "k1") is not None else "two, without it")

    with one.work("extract", "k1"):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(PATIENCE)
        put(one, tmp_path)
        order.append("one")
    thread.join(PATIENCE)
    assert order == ["one", "two"]


@pytest.mark.parametrize("same_bytes", [True, False])
def test_of_two_that_commit_the_same_key_one_wins_and_the_other_takes_it(
    same_bytes: bool, object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    """Also where both put their files before either manifest is there."""
    stores = [make_store(object_kind, scratch=name) for name in ("one", "two")]
    barrier = threading.Barrier(2)
    results: dict[int, Any] = {}

    def commit(number: int) -> None:
        store = stores[number]
        create = store.backend.create

        def together(data: bytes, *parts: str) -> bool:
            if parts[-1] == "manifest.json":
                barrier.wait(PATIENCE)
            return create(data, *parts)

        store.backend.create = together  # type: ignore[method-assign]
        made = tmp_path / f"made-{number}" / "pages"
        made.mkdir(parents=True)
        (made / "a.txt").write_text("hello" if same_bytes else f"by {number}")
        results[number] = store.commit(made.parent, {**MANIFEST, "key": "k1"}, "b1", replace=False)

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert results[0].manifest == results[1].manifest
    for store in stores:
        found = store.find("extract", "k1")
        assert found == results[0]
        assert store.verify(found) == []
    assert text_of(stores[0], results[0].reference) == text_of(stores[1], results[0].reference)
    left = files(stores[0]).find(stores[0].path("artifacts"))
    assert len(left) == 2, "the other's files are gone"


def test_files_of_a_commit_that_was_cut_off_are_cleared(
    object_kind: str, make_store: Callable[..., Store], tmp_path: Path
) -> None:
    store = make_store(object_kind)
    reference = put(store, tmp_path)
    stray = ("artifacts", "extract", "k1", "@0123456789ab", "pages/a.txt")
    store.backend.write(b"half", *stray)
    assert store.left_over() == {store.path(*stray): 4}
    assert store.clear() == [store.path(*stray)]
    assert store.left_over() == {}
    artifact = store.find("extract", "k1")
    assert artifact is not None and store.verify(artifact) == []
    assert text_of(store, reference) == "hello"
