"""What a run may be told from outside: from the UI, a schedule or the API instead of a terminal.

A recipe file may name the user's own code (hooks) and secrets of the environment (`env:NAME`):
whoever writes it has a shell on this machine. The parameters of a deployment's run come over HTTP.
They change numbers and choices; they name no code and no secret, and do not send a login that the
file names to another place.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from prefect.context import FlowRunContext
from pydantic import WithJsonSchema

from llm.recipe import STAGES, Recipe, RecipeError, load_machine, load_recipe

# Types of parameters, as the UI's form shows them: with choices, and without "None" as a second type
# of everything that may be left empty.
_STAGE = {"type": "string", "enum": list(STAGES)}
Stage = Annotated[str | None, WithJsonSchema(_STAGE)]
Stages = Annotated[list[str] | None, WithJsonSchema({"type": "array", "items": _STAGE})]
Text = Annotated[str | None, WithJsonSchema({"type": "string"})]
Texts = Annotated[list[str] | None, WithJsonSchema({"type": "array", "items": {"type": "string"}})]
Number = Annotated[float | None, WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]

_SECRET = re.compile(r"\benv:[A-Za-z_]")
# A stand-in for a host is sent what the host would be sent, a login too. Sinks write files.
_FILE_ONLY = ("hosts", "sinks_folder")


def recipe_of_run(
    recipe: str,
    overrides: Sequence[str],
    machine: Sequence[str],
    machine_file: Path,
    stages: Sequence[str] = STAGES,
) -> Recipe:
    """The recipe of the current flow run, for the stages that it runs.

    Its parameters are checked if a deployment started it.

    `penstock run --set` may override everything: it is typed in the user's own shell. Raises
    RecipeError.
    """
    loaded = load_recipe(recipe, overrides, stages)
    if _is_from_outside():
        check_overrides(load_recipe(recipe, (), ()), loaded)
        check_machine(machine_file, machine)
    return loaded


def check_parent(run: str | None) -> None:
    """Raise RecipeError where a deployment's run claims to be a part of a pipeline's run."""
    if run is not None and _is_from_outside():
        raise RecipeError("run: only the pipeline sets this parameter; leave it empty")


def _is_from_outside() -> bool:
    """Whether a deployment started the current flow run: not a terminal, nor another flow."""
    context = FlowRunContext.get()
    return context is None or context.flow_run is None or context.flow_run.deployment_id is not None


def check_overrides(file: Recipe, overridden: Recipe) -> None:
    """Raise RecipeError where overrides name a hook or a secret, or change what goes with one."""
    allowed = dict(_guarded(file.model_dump(mode="json"), ()))
    for path, value in _guarded(overridden.model_dump(mode="json"), ()):
        if allowed.get(path) != value:
            raise RecipeError(
                f"overrides: {'.'.join(path)} has a hook or an environment variable. A run that the UI, "
                "a schedule or the API starts takes it from the recipe file, as it is there: change "
                "the file, or use `penstock run --set` in a terminal"
            )


def check_machine(path: Path, overrides: Sequence[str]) -> None:
    """Raise RecipeError where overrides change what only the machine file may say."""
    file, overridden = load_machine(path), load_machine(path, overrides)
    for name in _FILE_ONLY:
        if getattr(file, name) != getattr(overridden, name):
            raise RecipeError(
                f"machine: a run that the UI, a schedule or the API starts cannot override {name}: "
                f"set it in {path}, or use `penstock run --set machine.{name}=...` in a terminal"
            )


def _guarded(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The smallest sections of a recipe that name a hook or a secret, each with its path.

    A login in `headers` goes to the hosts that the section around it names.
    """
    if isinstance(value, dict):
        own = {"function", "functions", "headers"} & value.keys()
        if any(value[name] for name in own):
            yield path, value
            return
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        if isinstance(value, str) and _SECRET.search(value):
            yield path, value
        return
    for name, item in items:
        yield from _guarded(item, (*path, name))
