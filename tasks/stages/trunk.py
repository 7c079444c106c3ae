"""Which earlier model's trunk tonight's training goes on from, and what people are told of it.

A trunk made by the code of today, of data that tonight's run begins with, is a hint: from scratch the
same bits come out. One of older code is kept as any expensive artifact is (policy.code_changed), and
then it is an input: what comes out depends on it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from llm.fingerprint import plain
from llm.store import Artifact, Reference
from llm.training.pretrain.nights import nights_of
from llm.training.pretrain.settings import HOW, PretrainSettings
from tasks.engine.run import Run
from tasks.engine.step import Call
from tasks.engine.verdict import as_of_today, differences

TRIES = 3
INHERITED = "inherited"


def trunk_pointer(recipe: str) -> str:
    """The name of the pointer to a recipe's trunk."""
    return f"trunk-{recipe}"


def going_on(run: Run, call: Call) -> Call:
    """The call with the trunk that it goes on from, if there is one, and with what to tell of it."""
    newest = _newest(run)
    if not call.is_known:
        if newest is None or call.values.continual is None:
            return call
        told = f"continues from the {_named(newest)}, if what it read is as it was"
        return dataclasses.replace(call, notes=(told,))
    if run.stage in run.options.force:  # from the start
        return _with_trunk(call, None, ())
    if run.judged(call).artifact is not None:
        return call  # made already, if by older code
    found = [one for one in run.store.artifacts(call.step.name) if _serves(run, call, one)]
    best = max(found, key=lambda one: _reach(call, one), default=None)
    return _with_trunk(call, best, _passed_over(call, newest, best))


def point(run: Run, model: Reference) -> None:
    """Move the recipe's trunk pointer to a model, unless it is at one of a later night."""
    name, counts = trunk_pointer(run.recipe.name), run.counts(model)
    if not counts:
        return
    new = {
        "recipe": run.recipe.name,
        "snapshot": run.snapshot,
        "steps": counts["trunk_steps"],
        "phases": counts["phases"],
        "model": model.to_json(),
        "references": [model.to_json()],
    }
    for _ in range(TRIES):
        now = run.runs.pointer(name)
        later = now is not None and now["snapshot"] > run.snapshot
        if later or now == new or run.move_pointer(name, now, new):
            return


def _newest(run: Run) -> Artifact | None:
    """What the pointer names, if it is still there."""
    pointed = run.runs.pointer(trunk_pointer(run.recipe.name))
    if pointed is None:
        return None
    reference = Reference.from_json(pointed["model"])
    return run.store.read(reference.step, reference.key)


def _named(artifact: Artifact) -> str:
    """An artifact and its trunk, for people."""
    steps = artifact.manifest["counts"]["trunk_steps"]
    return f"trunk of pretrain/{artifact.reference.key[:12]} at step {steps:,}"


def _code(call: Call, artifact: Artifact) -> list[str]:
    """What of the code changed since an artifact was made."""
    return call.fingerprint.changes(artifact.manifest["fingerprint"])


def _is_inherited(call: Call, artifact: Artifact) -> bool:
    """Whether its trunk is of other code than today's, or goes back to such a one."""
    return bool(_code(call, artifact)) or INHERITED in artifact.manifest["contents"]


def _serves(run: Run, call: Call, artifact: Artifact) -> bool:
    """Whether an artifact's trunk is a beginning of the call's run."""
    if "trunk_steps" not in artifact.manifest["counts"] or misfits(call, artifact):
        return False
    same = _values(artifact) == plain(call.values, deciding=True)
    nights, then = nights_of(call.contents), nights_of(artifact.manifest["contents"])
    if same and nights == then:
        return False  # this call itself, with other code or another trunk
    if not _is_inherited(call, artifact):
        return True
    keeps = run.recipe.policy.code_changed != "rerun" or run.stage in run.options.keep
    return keeps and call.values.continual is not None and len(then) < len(nights)


def _reach(call: Call, artifact: Artifact) -> tuple[int, int, bool]:
    """How far an artifact's trunk goes; of two that go as far, the one of today's code goes first."""
    nights = nights_of(artifact.manifest["contents"])
    return len(nights), artifact.manifest["values"]["tokens"], not _is_inherited(call, artifact)


def _values(artifact: Artifact) -> dict[str, Any]:
    """An artifact's values as today's code reads them, those that decide."""
    settings = as_of_today(PretrainSettings, artifact.manifest["values"])
    recorded = artifact.manifest["values"]
    return dict(plain(settings, deciding=True) if settings is not None else recorded)


def misfits(call: Call, artifact: Artifact) -> list[str]:
    """Why an artifact's trunk is no beginning of the call's run, whatever the code; empty: it is."""
    then, now = _values(artifact), plain(call.values, deciding=True)
    nights, before = nights_of(call.contents), nights_of(artifact.manifest["contents"])
    said = [
        f"{path}: {was!r} → {new!r}"
        for path, was, new in differences(_throughout(then), _throughout(now))
    ]
    said += [
        f"another {name}"
        for name in ("tokenizer", "init")
        if artifact.manifest["contents"].get(name) != call.contents.get(name)
    ]
    changed = [
        number
        for number, shards in enumerate(before)
        if number >= len(nights) or shards != nights[number]
    ]
    if changed and "another tokenizer" not in said:
        said.append(f"the shards of night {changed[0] + 1} changed")
    if len(before) > 1:
        said += [
            f"{path}: {was!r} → {new!r}"
            for path, was, new in differences(_of_nights(then), _of_nights(now))
        ]
    elif then["tokens"] > now["tokens"]:
        said.append(f"tokens: {then['tokens']!r} → {now['tokens']!r}")
    return said


def _throughout(values: Mapping[str, Any]) -> dict[str, Any]:
    """What decides every step before the decay."""
    left_out = ("tokens", "continual", *HOW)
    return {name: value for name, value in values.items() if name not in left_out}


def _of_nights(values: Mapping[str, Any]) -> dict[str, Any]:
    """What decides where the second night's phase begins, and all that follows."""
    continual = dict(values["continual"] or {})
    continual.pop("decay_tokens", None)
    return {"tokens": values["tokens"], "continual": continual}


def _passed_over(call: Call, newest: Artifact | None, best: Artifact | None) -> list[str]:
    """Why training does not go on from the newest trunk."""
    if newest is None or call.values.continual is None:
        return []
    if best is not None and best.reference == newest.reference:
        return []
    why = misfits(call, newest) or _code(call, newest)
    return [f"not from the {_named(newest)}: {', '.join(why)}"] if why else []


def _with_trunk(call: Call, best: Artifact | None, said: Sequence[str]) -> Call:
    if best is None:
        again = ["trains from scratch"] if call.values.continual is not None else []
        return dataclasses.replace(call, notes=(*again, *said))
    notes = (f"continues from the {_named(best)}", *said)
    if not _is_inherited(call, best):
        return dataclasses.replace(call, hints={"trunk": [best.reference]}, notes=notes)
    told = f"which older code made ({', '.join(_code(call, best)) or 'further back'})"
    return dataclasses.replace(
        call,
        inputs={**call.inputs, INHERITED: [best.reference]},
        notes=(f"{notes[0]}, {told}; from scratch: --force pretrain", *said),
    )
