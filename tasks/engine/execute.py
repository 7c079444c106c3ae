"""Fulfilling a call: take its artifact from the store, or hold its work folder, run, commit."""

import errno
import os
import platform
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from llm import durable
from llm.machine import Machine
from llm.parts import only
from llm.step import BadInput, Context, Reporter, WorkerLost
from llm.store import Artifact, Reference, Store
from tasks.engine.run import Done, Run
from tasks.engine.sinks import sinks_beside
from tasks.engine.step import Call
from tasks.engine.verdict import Verdict


def fulfil(
    run: Run,
    call: Call,
    report: Reporter,
    ask: Callable[[Call, Verdict], bool] = lambda call, verdict: False,
) -> Done:
    """Take a call's artifact from the store, or make it; notes how in the run.

    ask: whether an expensive step whose code changed runs again.
    """
    verdict = run.judged(call)
    if verdict.action == "ask":
        verdict = Verdict("run" if ask(call, verdict) else "kept", verdict.why, verdict.artifact)
    if verdict.action in ("cached", "kept"):
        return take(run, call, verdict, report)
    report.info(f"{call.name} runs: {'; '.join(verdict.why)}")
    started = time.monotonic()
    forced = run.stage in run.options.force
    artifact, made = make(run.store, call, run.machine, report, forced=forced)
    seconds = time.monotonic() - started
    return _ended(run, call, "run" if made else "cached", seconds, artifact)


def take(run: Run, call: Call, verdict: Verdict, report: Reporter) -> Done:
    """Take the artifact that a verdict found (cached or kept); notes how in the run."""
    assert verdict.artifact is not None, "a call that is cached or kept has an artifact"
    if verdict.action == "kept":
        report.warning(
            f"KEEPS its artifact although its code changed ({'; '.join(verdict.why)}). "
            f"To make it again: {run.force_with}"
        )
    return _ended(run, call, verdict.action, 0.0, verdict.artifact)


def _ended(run: Run, call: Call, action: str, seconds: float, artifact: Artifact) -> Done:
    summary = artifact.manifest["summary"]
    done = Done(call.name, call.step.name, action, round(seconds, 2), summary, artifact.reference)
    run.ended(done, artifact.manifest["counts"])
    return done


def make(
    store: Store,
    call: Call,
    machine: Machine,
    report: Reporter,
    *,
    forced: bool = False,
    wanted_by: Mapping[str, Any] | None = None,
) -> tuple[Artifact, bool]:
    """Run a call's step and commit its artifact; returns it and whether it was made here.

    Another process may be making the same key: this one waits for it and takes its artifact. What
    a killed try left in the work folder is handed to the step. wanted_by: see `Store.work`.
    """
    work_key = call.base if call.step.resumes_across_code else call.key
    with store.work(call.step.name, work_key, wanted_by) as folder, store.borrowing():
        found = None if forced else store.find(call.step.name, call.key)
        if found is not None:
            _clear(folder)
            return found, False
        if forced:
            _forget(folder)
        out = durable.empty_folder(folder / "out")
        work = folder / "work"
        work.mkdir(exist_ok=True)
        context = Context(out=out, work=work, report=report, machine=machine)
        telling = sinks_beside(context) if call.step.learns else nullcontext(context)
        started = time.monotonic()
        try:
            with telling as told, only(call.parts):
                result = call.step.function(call.values, _folders(store, call), told)
            manifest = {
                **call.describe(),
                "content": result.content,
                "parts": dict(result.parts),
                "counts": dict(result.counts),
                "summary": result.summary,
                "seconds": round(time.monotonic() - started, 3),
                "made": {
                    "at": time.time(),
                    "host": socket.gethostname(),
                    "python": platform.python_version(),
                },
            }
            artifact = store.commit(out, manifest, call.base, replace=forced)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise BadInput(_no_space(store, call, error)) from error
            raise
        _clear(folder)
        return artifact, True


def _clear(folder: Path) -> None:
    """Remove a work folder that is done with. Who waits for its lock may come in between."""
    shutil.rmtree(folder, ignore_errors=True)


def _forget(folder: Path) -> None:
    """Forced means from the start: nothing that an earlier try left is used."""
    shutil.rmtree(folder / "work", ignore_errors=True)


def _folders(store: Store, call: Call) -> dict[str, Sequence[Path]]:
    """Local folders (or the user's files) for every input and hint."""
    folders: dict[str, list[Path]] = {}
    for name, items in [*call.inputs.items(), *call.hints.items()]:
        paths = folders.setdefault(name, [])
        for item in items:
            paths.extend([store.local(item)] if isinstance(item, Reference) else item.paths)
    return dict(folders)


def _no_space(store: Store, call: Call, error: OSError) -> str:
    free = shutil.disk_usage(store.scratch).free
    return (
        f"{call.name}: the disk is full ({free:,} bytes free at {store.scratch}: {os.strerror(error.errno or 0)}). "
        "Nothing finished is lost: make room (`penstock gc` tells what can go) and run again."
    )


# Each says something about a file, a right or a name, which stays as it is. Object stores raise
# these without an errno.
_LASTING = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_LASTING_ERRNO = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}


def worth_retrying(error: BaseException) -> bool:
    """Whether trying again can help: the network or a process failed, not the data or the recipe.

    A vanished artifact is not made by the step that misses it, and a missing right is not granted by
    asking again. A process that was killed goes on from what is in its work folder.
    """
    if isinstance(error, WorkerLost | BrokenExecutor):
        return True
    if isinstance(error, _LASTING):
        return False
    return isinstance(error, OSError) and error.errno not in _LASTING_ERRNO
