"""A recipe and a machine file, read and checked: YAML in, validated values out.

A recipe may extend another (`extends: demo.yaml`, beside it), and the command line overrides single
values (`pretrain.tokens=6_000_000`). A recipe that cannot succeed is refused here, before anything
runs: see `llm.recipe.rules`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pydantic

from llm.machine import Machine
from llm.recipe.machine_rules import of_machine
from llm.recipe.messages import explained, told
from llm.recipe.names import RecipeError, find_recipe
from llm.recipe.reference import Field, fields_of
from llm.recipe.rules import broken
from llm.recipe.sections import STAGES, Recipe
from llm.recipe.tree import read_file, read_tree, set_value
from llm.recipe.values import values
from llm.recipe.yaml import BadYAML, Fields, Place

T = TypeVar("T")


def load_recipe(name: str, overrides: Sequence[str] = (), stages: Sequence[str] = STAGES) -> Recipe:
    """Read, extend, override and validate a recipe. Raises RecipeError.

    stages: those that are going to run: what only other stages could not do is not a fault.
    """
    path = find_recipe(name)
    tree = read_tree(path, list(overrides))
    recipe = _validated(Recipe, tree, f"the recipe {name}")
    problems = [told(problem, tree) for problem in broken(recipe, stages)]
    if problems:
        raise RecipeError(_wrong(f"the recipe {name}", problems))
    return recipe


def load_machine(path: Path, overrides: Sequence[str] = ()) -> Machine:
    """Read how to use this machine; a missing file means the defaults. Raises RecipeError."""
    tree = read_file(path) if path.is_file() else Fields({}, Place(str(path), 0))
    for override in overrides:
        set_value(tree, override, "machine.")
    machine = _validated(Machine, tree, f"the machine file {path}")
    problems = [told(problem, tree) for problem in of_machine(machine)]
    if problems:
        raise RecipeError(_wrong(f"the machine file {path}", problems))
    return machine


def _validated(kind: type[T], tree: Fields, what: str) -> T:
    """A recipe or a machine from its tree. Raises RecipeError naming everything that is wrong."""
    try:
        return pydantic.TypeAdapter(kind).validate_python(values(tree, kind))
    except BadYAML as error:
        raise RecipeError(str(error)) from None
    except pydantic.ValidationError as error:
        raise RecipeError(_wrong(what, explained(kind, error.errors(), tree))) from None


def _wrong(what: str, lines: Sequence[str]) -> str:
    return f"{what} is wrong:\n  " + "\n  ".join(lines)


def fields() -> Iterator[Field]:
    """Every field of the recipe with its path, type, default and description, in order."""
    return fields_of(Recipe)


def machine_fields() -> Iterator[Field]:
    """Every field of the machine file, in order."""
    return fields_of(Machine)
