"""Work in processes of their own, under a limit of time and of memory: what breaks costs itself only.

A guard is a process that keeps one forked worker. The worker answers one item after another; one
that hangs, eats memory or crashes takes the worker with it, the guard says so in its stead and
forks another, which goes on with the next item. Standard input is the leash: when the process at
its other end goes, however it goes, worker and guard read its end and go too.
"""

import json
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

_LENGTH = struct.Struct("<Q")
# A guard's first message.
_READY = "ready"
# The exit status of a worker that asks for another in its place.
_SPENT = 3
# Bytes of the largest message: more is not a page.
_LARGEST = 1 << 31
# Items after which a worker is spent: what libraries leak must not be some page's fault.
_ITEMS = 5000
# A worker that died by a signal had too little memory where it had taken as much of its share.
_NEARLY = 0.7
# Seconds on the clock for each second of work allowed: a busy machine is no fault of the page.
_PATIENCE = 10

Work = Callable[[Any], Any]


class Limits(NamedTuple):
    """What one item may take: seconds of processor time, bytes of memory."""

    seconds: float
    memory_bytes: int


class Failed(NamedTuple):
    """In place of an answer: why there is none (timeout, out_of_memory, crashed, failed_...)."""

    reason: str


def run_guard(work: Work, warm_up: Callable[[], Any] = lambda: None) -> None:
    """Be a guard: answer batches from standard input on standard output until it ends.

    work: item → answer. Items are pickled; answers, which come from processes that read what strangers
    wrote, travel as JSON: plain values and the named tuples that `Guards` is told of. warm_up: what every worker needs, done once before the
    first is forked. A program for `Guards` ends in a call of this.
    """
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what a library prints must not get among the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limits = Limits(*_receive(source))
    warm_up()
    _answer(sink, _READY)
    while True:
        child = os.fork()
        if not child:
            try:
                os._exit(_work(work, limits, source, sink))
            finally:
                os._exit(1)
        _, status, usage = os.wait4(child, 0)
        if not os.WIFSIGNALED(status):
            if os.WEXITSTATUS(status) == _SPENT:
                continue
            os._exit(os.WEXITSTATUS(status))
        died = os.WTERMSIG(status)
        if died == signal.SIGKILL:
            os._exit(1)  # perhaps in the middle of an answer: the other side must not go on
        if died in (signal.SIGPROF, signal.SIGALRM):
            reason = "timeout"
        elif usage.ru_maxrss * 1024 > _NEARLY * limits.memory_bytes:
            reason = "out_of_memory"
        else:
            reason = "crashed"
        _answer(sink, Failed(reason))


def _work(work: Work, limits: Limits, source: int, sink: int) -> int:
    """Answer items until there are no more (0) or the worker is spent. Runs in the forked child."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Data, not address space: libraries map far more than they ever touch.
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    done = 0
    while done < _ITEMS and (batch := _receive(source)) is not None:
        done += len(batch)
        for item in batch:
            spent = False
            # Both timers kill by their signal's default action, whatever library is at work.
            signal.setitimer(signal.ITIMER_PROF, limits.seconds)
            signal.setitimer(signal.ITIMER_REAL, limits.seconds * _PATIENCE)
            try:
                answer = work(item)
            except MemoryError:
                answer, spent = Failed("out_of_memory"), True
            except Exception as error:
                answer = Failed(f"failed_{type(error).__name__}")
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _answer(sink, answer)
            if spent:
                return _SPENT
    return _SPENT if done >= _ITEMS else 0


def _send(to: int, value: Any) -> None:
    _write(to, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def _answer(to: int, value: Any) -> None:
    named = type(value).__name__ if hasattr(value, "_fields") else ""
    _write(to, json.dumps([named, value]).encode())


def _understood(data: bytes, kinds: Mapping[str, Any]) -> Any:
    """An answer; raises ValueError for what is none."""
    try:
        named, value = json.loads(data)
        return kinds[named](*value) if named else value
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"no answer: {error}") from error


def _write(to: int, data: bytes) -> None:
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(to, view) :]


def _receive(source: int) -> Any:
    """What the other side of a guard asks, None where it is gone."""
    data = _message(source)
    return None if data is None else pickle.loads(data)


def _message(source: int) -> bytes | None:
    """The next message, None where the other side is gone. Reads not one byte more."""
    head = _exactly(source, _LENGTH.size)
    if head is None:
        return None
    size = _LENGTH.unpack(head)[0]
    if size > _LARGEST:
        raise ValueError(f"a message of {size} bytes")
    return _exactly(source, size)


def _exactly(source: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(source, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Guards:
    """Up to `count` guards that run `program`, shared by all threads of this process.

    program: Python source that imports what it needs and ends in `run_guard(...)`. kinds: the named
    tuples that may be answers, besides plain values.
    """

    def __init__(
        self, program: str, limits: Limits, count: int, kinds: Sequence[type] = ()
    ) -> None:
        self.kinds = {kind.__name__: kind for kind in (Failed, *kinds)}
        self.program, self.limits = program, limits
        self.free: deque[subprocess.Popen[bytes]] = deque()
        self.room = threading.Semaphore(count)
        self.count = count
        self.lock = threading.Lock()
        self.closed = False

    def map(self, items: Iterable[Any], batch: int = 16) -> Iterator[Any]:
        """The answers to `items`, in their order; `Failed` where there is none."""
        waiting: deque[Future[list[Any]]] = deque()
        with ThreadPoolExecutor(self.count) as threads:
            try:
                for group in _groups(items, batch):
                    waiting.append(threads.submit(self._answers, group))
                    if len(waiting) > 2 * self.count:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def close(self) -> None:
        """Let all guards go that are not at work, and the others after their batch."""
        with self.lock:
            self.closed = True
            guards = list(self.free)
            self.free.clear()
        for guard in guards:
            _stop(guard)

    def _answers(self, batch: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        lost = -1
        with self.room:
            guard = self._take()
            try:
                while len(answers) < len(batch):
                    try:
                        answers += self._ask(guard, batch[len(answers) :])
                    except _LOST as gone:
                        answers += getattr(gone, "answers", [])
                        _stop(guard)
                        guard = self._start()
                        # Somebody killed the guard: once that is nobody's fault.
                        if lost == len(answers):
                            answers.append(Failed("crashed"))
                        lost = len(answers)
            except BaseException:
                _stop(guard)
                raise
            self._give(guard)
        return answers

    def _ask(self, guard: "subprocess.Popen[bytes]", batch: Sequence[Any]) -> list[Any]:
        """The answers of one guard, up to the first item that its worker did not survive."""
        assert guard.stdin is not None and guard.stdout is not None
        answers: list[Any] = []
        try:
            _send(guard.stdin.fileno(), list(batch))
            while len(answers) < len(batch):
                data = _message(guard.stdout.fileno())
                if data is None:
                    raise EOFError
                answer = _understood(data, self.kinds)
                answers.append(answer)
                if isinstance(answer, Failed) and answer.reason in _DEADLY:
                    break
        except _LOST as gone:
            gone.answers = answers  # type: ignore[union-attr]
            raise
        return answers

    def _take(self) -> "subprocess.Popen[bytes]":
        with self.lock:
            while self.free:
                guard = self.free.popleft()
                if guard.poll() is None:
                    return guard
                _stop(guard)
        return self._start()

    def _give(self, guard: "subprocess.Popen[bytes]") -> None:
        with self.lock:
            if not self.closed:
                self.free.append(guard)
                return
        _stop(guard)

    def _start(self) -> "subprocess.Popen[bytes]":
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        guard = subprocess.Popen(
            [sys.executable, "-c", self.program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            bufsize=0,
        )
        assert guard.stdin is not None and guard.stdout is not None
        try:
            _send(guard.stdin.fileno(), tuple(self.limits))
            data = _message(guard.stdout.fileno())
            ready = data is not None and _understood(data, self.kinds) == _READY
        except (OSError, ValueError):
            ready = False
        if not ready:
            _stop(guard)
            raise RuntimeError("a reading process did not start; standard error says why")
        return guard


# After these the guard forks a new worker, and what is left of a batch must be asked again.
_DEADLY = ("timeout", "out_of_memory", "crashed")


_LOST = (BrokenPipeError, EOFError, ValueError)


def _groups(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _stop(guard: "subprocess.Popen[bytes]") -> None:
    """End a guard by letting go of its leash, and by force where it is at work."""
    assert guard.stdin is not None and guard.stdout is not None
    guard.stdin.close()
    guard.stdout.close()
    try:
        guard.wait(0.5)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()
