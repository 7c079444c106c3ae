"""The corpus that a run left: the artifacts of its stage clean, found by way of what decided."""

import dataclasses
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from llm.corpus.decide_settings import DecideAll
from llm.corpus.filters_settings import FilterSettings
from llm.corpus.hooks_settings import HookSettings
from llm.corpus.inspection.browse import Night
from llm.located import written
from llm.recipe import Recipe, load_recipe
from llm.runs import RunRecord
from llm.step import BadInput
from llm.store import Artifact, Reference
from tasks.engine.home import Home
from tasks.engine.verdict import differences

# Sections of clean that are asked about figures alone.
CHEAP = ("filters", "consent")
# Inputs of the step that decides that look-ups do without: newer artifacts may have replaced them.
UNREAD = ("kept",)


def find_run(home: Home, name: str) -> RunRecord:
    """The run that `name` means: a run's id, a snapshot, or a recipe (its newest). Raises BadInput."""
    cleaned = [head for head in home.runs.heads() if "clean" in head.stages and not head.problem]
    found = next((head for head in cleaned if name in (head.id, head.snapshot)), None)
    if found is None:
        recipe = load_recipe(name, (), ()).name
        found = next((head for head in cleaned if head.recipe == recipe), None)
        if found is None:
            raise BadInput(
                f"no run of {recipe} has finished the stage clean: penstock run {name} --until clean"
            )
    return home.runs.load(found.id)


def corpus_of(home: Home, record: RunRecord) -> list[Night]:
    """The nights of a run's corpus, oldest first. Raises BadInput where an artifact is gone."""
    own = list(record.references())
    outputs = record.outputs("clean") or {}
    nights = []
    for snapshot, reference in outputs["decisions"].items():
        decided = _read(home, reference, own)
        values = pydantic.TypeAdapter(DecideAll).validate_python(decided.manifest["values"])
        inputs = {
            name: [_folder(home, Reference.from_json(item), own) for item in items]
            for name, items in decided.manifest["inputs"].items()
            if name not in UNREAD
        }
        folder = home.store.local(decided.reference) / "decisions"
        decisions = {shard: folder / f"{shard}.parquet" for shard in values.shards}
        written = {}
        for shard in values.shards:
            documents = outputs["documents"]
            found = documents.get(f"{snapshot}/{shard}") or documents.get(shard)
            if found is not None and home.store.find(found.step, found.key) is not None:
                written[shard] = home.store.local(found)
        nights.append(Night(snapshot, values, inputs, decisions, written))
    return nights


def _read(home: Home, reference: Reference, own: Sequence[Reference]) -> Artifact:
    """An artifact; where other code made the same once more, the one that the run has."""
    for one in (reference, *own):
        if (one.step, one.content) == (reference.step, reference.content) or one is reference:
            found = home.store.find(one.step, one.key)
            if found is not None:
                return found
    raise BadInput(
        f"the artifact {reference.step}/{reference.key[:16]} of that run is gone: run it again"
    )


def _folder(home: Home, reference: Reference, own: Sequence[Reference]) -> Path:
    return home.store.local(_read(home, reference, own).reference)


def with_changes(
    record: RunRecord, recipe: str, overrides: Sequence[str]
) -> tuple[Recipe, list[tuple[str, Any, Any]]]:
    """The recipe of a run with some values changed, and which: (path, before, after).

    Raises BadInput for what cannot be told from figures alone, and for a wrong path as `run` does.
    """
    overrides = [_in_full(one) for one in overrides]
    if recipe in (record.id, record.snapshot) and recipe != record.recipe:
        recipe = record.recipe
    else:
        load_recipe(recipe, overrides, ())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{record.recipe}.yaml")
        path.write_text(json.dumps(record.values), "utf8")
        before = load_recipe(str(path), (), ())
        after = load_recipe(str(path), overrides, ())
    changed = differences(before.model_dump(mode="json"), after.model_dump(mode="json"))
    hooks = before.clean.hooks
    for name, _, _ in changed:
        stage, section, *rest = (*name.split("."), "", "")
        limit = section == "hooks" and rest[0] in hooks and rest[1] in ("min", "max")
        if section == "hooks" and not limit:
            limits = [f"clean.hooks.{hook}.{end}" for hook in hooks for end in ("min", "max")]
            known = f"what whatif may change is {', '.join(limits)}" if hooks else "none did"
            raise BadInput(f"--set {name}: there are figures only for hooks that ran; {known}")
        if stage != "clean" or (section not in CHEAP and not limit):
            raise BadInput(
                f"--set {name}: what that changes cannot be told without reading text; whatif "
                f"answers for {', '.join(f'clean.{one}' for one in CHEAP)} and the limits in "
                f"clean.hooks. To see it: penstock run {recipe} --snapshot "
                f"{record.snapshot} --set {name}=... --until clean"
            )
    return after, changed


def _in_full(override: str) -> str:
    """`clean.filters.gopher_quality.min_words=30` for `clean.gopher.min_words=30`: the rule sets may
    be named right below `clean`, and by the paper that they are of.
    """
    found = re.match(r"clean\.(\w+)\.(\w+)(?==)", override)
    if found is None:
        return override
    name, field = found.groups()
    filters = FilterSettings()
    sets = [one.name for one in dataclasses.fields(filters)]
    sets = [one for one in sets if one == name or one.startswith(f"{name}_")]
    if not sets:
        return override
    chosen = next((one for one in sets if hasattr(getattr(filters, one), field)), sets[0])
    return f"clean.filters.{chosen}.{field}{override[found.end() :]}"


def decide_values(before: DecideAll, recipe: Recipe) -> DecideAll:
    """What a run decided by, with the rules of another recipe."""
    new = {name: getattr(recipe.clean, name, getattr(before, name)) for name in CHEAP}
    return dataclasses.replace(before, **new, hooks=_limited(before.hooks, recipe.clean.hooks))


def _limited(
    ran: Mapping[str, HookSettings], wanted: Mapping[str, HookSettings]
) -> dict[str, HookSettings]:
    """The hooks of a night with the limits of a recipe; an earlier night may have had others."""
    return {
        name: wanted[name] if name in wanted and _same(wanted[name], hook) else hook
        for name, hook in ran.items()
    }


def _same(one: HookSettings, other: HookSettings) -> bool:
    """Whether two hooks are one function, wherever the recipe that names it lies."""
    return written(one.function) == written(other.function)
