"""Recipes by name: the files in recipes/, found without reading any."""

from pathlib import Path

from llm.step import BadInput

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
PLAIN = "base"  # has no sources, so that it is extended and not run


class RecipeError(BadInput):
    """The recipe is wrong; the message names each field, its value and what is allowed."""


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, or the name of one in recipes/.

    Raises RecipeError telling which names there are.
    """
    for path in (Path(name), RECIPES / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(one for one in names() if one != PLAIN)
    raise RecipeError(f"no recipe {name!r}: give the path of a YAML file, or one of {known}")


def names() -> list[str]:
    """The names of the recipes in recipes/."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))
