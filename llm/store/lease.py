"""Leases: who works on what, where no kernel lock reaches, that is on an object store.

    leases/<name>/00000001.json   who holds it, until when (for people), and a number that grows

A lease is taken by creating the next file where none is (a conditional put: of two that try, one
gets it), and renewed by writing the file again, four times as often as it would run out. Whoever
waits asks the object store how long ago the file was written, by the store's own clock: clocks of
machines are never compared, so they may be wrong by any amount. A lease that was not renewed for its
whole term is over, and the next file takes it over. The same machine, which holds a kernel lock on
the same name, takes its own lease over at once: the process that had it is dead.

A machine that stood still for longer than the term and wakes up finds that another has taken over,
and says so. Both may then be at work: of two that commit an artifact one wins (`Backend.commit`).
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from llm import durable
from llm.store.locks import Busy, Lock

log = logging.getLogger(__name__)

SECONDS = 60.0
"""How long a lease lasts that is not renewed."""
RENEWALS = 4
GRAINS = 2.0
"""Seconds by which two times of an object store may be off: some keep whole seconds."""


class Place(Protocol):
    """What leases need of an object store. See `llm.store.backend.Backend`."""

    def read(self, *parts: str) -> bytes | None: ...
    def write(self, data: bytes, *parts: str) -> None: ...
    def create(self, data: bytes, *parts: str) -> bool: ...
    def sizes(self, *folder: str) -> dict[str, int]: ...
    def ages(self, *folder: str) -> dict[str, float]: ...
    def remove_file(self, *parts: str) -> None: ...


class Lease:
    """A lease that is held: a thread renews it until `end`."""

    def __init__(
        self, place: Place, folder: tuple[str, ...], number: int, machine: str, term: float
    ) -> None:
        self.place, self.folder, self.number = place, folder, number
        self.machine, self.term = machine, term
        self.is_lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew it."""
        self._thread.start()

    def _renew(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self.term / RENEWALS):
            try:
                if max(numbers(self.place, self.folder), default=0) > self.number:
                    return self._lose("another machine has taken it over")
                self.place.write(self.record(), *self.folder, file_of(self.number))
                last = time.monotonic()
            except Exception as error:  # whatever the library of the object store raises
                log.debug("%s: %s", "/".join(self.folder), error)
                if time.monotonic() - last > self.term:
                    return self._lose(f"it could not be renewed ({error})")

    def record(self) -> bytes:
        """What the file says."""
        now = time.time()
        who = {"machine": self.machine, "host": socket.gethostname(), "pid": os.getpid()}
        times = {"term": self.term, "renewed": now, "until": now + self.term}
        return json.dumps({**who, **times}).encode()

    def _lose(self, why: str) -> None:
        self.is_lost = True
        log.warning(
            "the lease on %s is lost: %s. If both finish, the first result counts",
            "/".join(self.folder[1:]),
            why,
        )

    def end(self) -> None:
        """Give it back."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self.is_lost:
            self.place.remove_file(*self.folder, file_of(self.number))


class Leases:
    """The leases of an object store, as a machine sees them.

    scratch: the machine's own folder, which names it. seconds: how long a lease lasts. poll: how
    often who waits looks.
    """

    def __init__(self, place: Place, scratch: Path, seconds: float = SECONDS) -> None:
        self.place, self.scratch, self.seconds = place, scratch, seconds
        self.poll = seconds / (2 * RENEWALS)

    @property
    def machine(self) -> str:
        """What tells this machine's processes, which share kernel locks, from all others."""
        path = self.scratch / "machine-id"
        with Lock(self.scratch / "machine-id.lock").exclusive():
            if not path.is_file():
                durable.write_bytes(path, uuid.uuid4().hex.encode())
            return path.read_text()

    @contextmanager
    def hold(self, *name: str, what: str, wait: bool = True) -> Iterator[Lease]:
        """Hold a lease; waits while another machine does, and says who. Without `wait`: Busy.

        To be called under a kernel lock of the same name. what: it is about, for people.
        """
        lease = self._take(("leases", *name), what, wait)
        lease.start()
        try:
            yield lease
        finally:
            lease.end()

    def living(self, folder: str) -> set[str]:
        """The names right below a folder of leases that another machine holds now."""
        found: set[str] = set()
        machine = self.machine
        if not self.place.sizes("leases", folder):
            return found
        for path, age in self.place.ages("leases", folder).items():
            name, _, file = path.partition("/")
            number = file.removesuffix(".json")
            holder = (
                (_read(self.place, ("leases", folder, name), int(number)) or {})
                if number.isdigit()
                else None
            )
            if holder is None or holder.get("machine") == machine:
                continue
            if age <= _term(holder, self.seconds) + GRAINS:
                found.add(name)
        return found

    def forget(self, *name: str) -> None:
        """Drop a lease that nobody holds any more."""
        for number in numbers(self.place, ("leases", *name)):
            self.place.remove_file("leases", *name, file_of(number))

    def _take(self, folder: tuple[str, ...], what: str, wait: bool) -> Lease:
        machine, told = self.machine, False
        while True:
            known = numbers(self.place, folder)
            top = max(known, default=0)
            holder = _read(self.place, folder, top) if top else None
            if not top or self._is_over(folder, top, holder, machine):
                lease = Lease(self.place, folder, top + 1, machine, self.seconds)
                if self.place.create(lease.record(), *folder, file_of(top + 1)):
                    for number in known:
                        self.place.remove_file(*folder, file_of(number))
                    return lease
                continue
            if not wait:
                raise Busy(_said(what, holder))
            if not told:
                log.info("%s: waiting for it", _said(what, holder))
                told = True
            time.sleep(self.poll)

    def _is_over(
        self, folder: tuple[str, ...], number: int, holder: dict[str, Any] | None, machine: str
    ) -> bool:
        holder = holder or {}
        if holder.get("machine") == machine:
            return True
        age = self.place.ages(*folder).get(file_of(number))
        return age is not None and age > _term(holder, self.seconds) + GRAINS


class SharedLock:
    """A kernel lock between processes, and a lease between machines where there is one.

    A thread that holds it may take it again.
    """

    def __init__(self, lock: Lock, leases: Leases | None, name: str, what: str) -> None:
        self.lock, self.leases, self.name, self.what = lock, leases, name, what

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold it alone; waits for it."""
        with ExitStack() as stack:
            held = self.lock.is_mine()
            stack.enter_context(self.lock.exclusive())
            if self.leases is not None and not held:
                stack.enter_context(self.leases.hold(self.name, what=self.what))
            yield


def numbers(place: Place, folder: tuple[str, ...]) -> list[int]:
    """The numbers of a lease's files."""
    names = [name.removesuffix(".json") for name in place.sizes(*folder)]
    return sorted(int(name) for name in names if name.isdigit())


def file_of(number: int) -> str:
    """The file of a lease's number."""
    return f"{number:08d}.json"


def _read(place: Place, folder: tuple[str, ...], number: int) -> dict[str, Any] | None:
    with suppress(ValueError):
        found = json.loads(place.read(*folder, file_of(number)) or b"null")
        return found if isinstance(found, dict) else None
    return None


def _term(holder: dict[str, Any], usual: float) -> float:
    term = holder.get("term")
    return float(term) if isinstance(term, int | float) else usual


def _said(what: str, holder: dict[str, Any] | None) -> str:
    if holder is None or not isinstance(holder.get("until"), int | float):
        return f"another machine {what}"
    until = datetime.fromtimestamp(holder["until"], UTC)
    return (
        f"another machine {what}: process {holder.get('pid')} on {holder.get('host')}, whose lease "
        f"runs until {until:%Y-%m-%d %H:%M:%S} UTC and is renewed while it lives"
    )
