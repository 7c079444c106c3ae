"""Whether a call runs, and why: the one place that decides it, for runs and for plans alike."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import pydantic

from llm.fingerprint import not_deciding, plain
from llm.recipe import PolicySettings
from llm.store import Artifact, Store
from llm.words import counted
from tasks.engine.step import Call

T = TypeVar("T")
Action = Literal["cached", "run", "may run", "ask", "kept"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be done about a call.

    artifact: the one to take (cached, kept), or to take if the user says so (ask).
    """

    action: Action
    why: tuple[str, ...] = ()
    artifact: Artifact | None = None


def judge(
    store: Store,
    call: Call,
    policy: PolicySettings,
    *,
    forced: bool = False,
    kept: bool = False,
    previous: Callable[[], Mapping[str, Any] | None] = lambda: None,
) -> Verdict:
    """Decide about a call.

    forced: run although the artifact is there. kept: take an artifact of older code, if there is.
    previous: gives the manifest of this call in the run before, to say what changed since.
    """
    if not call.is_known:
        return Verdict("may run", ("an input is not made yet", *call.notes))
    if forced:
        return Verdict("run", ("forced", *call.notes))
    found = store.find(call.step.name, call.key)
    if found is not None:
        return Verdict("cached", (), found)
    older = store.alike(call.base)
    if older is None:
        return Verdict("run", (*explain(store, call, previous()), *call.notes))
    changes = tuple(call.fingerprint.changes(older.manifest["fingerprint"])) or (
        "its code changed",
    )
    seconds = older.manifest["seconds"]
    form = older.manifest.get("form", 1)
    if form != call.step.form:
        return Verdict(
            "run", (f"the form of its files changed ({form} → {call.step.form})", *changes)
        )
    if kept or (policy.code_changed == "keep"):
        return Verdict("kept", changes, older)
    if policy.code_changed == "rerun" or seconds <= policy.expensive_seconds:
        return Verdict("run", (*changes, *call.notes))
    return Verdict("ask", (*changes, f"its last run took {seconds:,.0f} s"), older)


def explain(store: Store, call: Call, previous: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Why a call has no artifact: what differs from the run before."""
    if previous is None:
        return ("never ran before",)
    left_out = set(not_deciding(call.values))
    said = [
        f"{path}: {before!r} → {now!r}"
        for path, before, now in differences(previous["values"], plain(call.values))
        if path not in left_out
    ]
    said += [
        f"{name}: {previous['identity'].get(name)!r} → {value!r}"
        for name, value in call.identity.items()
        if previous["identity"].get(name) != value
    ]
    for name, contents in call.contents.items():
        before = previous["contents"].get(name, [])
        changed = sum(a != b for a, b in zip(before, contents, strict=False))
        if len(before) != len(contents):
            said.append(f"input {name}: {len(before):,} → {counted(len(contents), 'artifact')}")
        elif changed:
            said.append(f"input {name} changed ({changed} of {len(contents)})")
    said += call.fingerprint.changes(previous["fingerprint"])
    if said:
        return tuple(said)
    return ("its artifact is gone or damaged",)


def as_of_today(kind: type[T], recorded: Mapping[str, Any]) -> T | None:
    """A manifest's values as today's code reads them; None where it has no such field any more.

    A field that is newer than the manifest has its default.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_python(recorded)
    except pydantic.ValidationError:
        return None


def differences(before: Any, now: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The paths at which two JSON values differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            item
            for name in sorted(set(before) | set(now))
            for item in differences(before.get(name), now.get(name), f"{path}.{name}".strip("."))
        ]
    return [] if before == now else [(path or "value", before, now)]
