"""Recipes: what to run. Names and errors are at hand; the rest is imported when it is asked for.

Reading a recipe needs pydantic and every section, which takes longer than most commands that only
answer.
"""

from typing import TYPE_CHECKING, Any

from llm.recipe.names import RECIPES, RecipeError, find_recipe

if TYPE_CHECKING:
    from llm.recipe.load import fields, load_machine, load_recipe, machine_fields
    from llm.recipe.sections import STAGES, PolicySettings, Recipe

__all__ = [
    "RECIPES",
    "STAGES",
    "PolicySettings",
    "Recipe",
    "RecipeError",
    "fields",
    "find_recipe",
    "load_machine",
    "load_recipe",
    "machine_fields",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import llm.recipe.load as load
    import llm.recipe.sections as sections

    return getattr(sections if hasattr(sections, name) else load, name)
