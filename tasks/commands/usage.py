"""What lies on the disk, by recipe."""

from collections import defaultdict
from dataclasses import dataclass

from llm.runs.record import names_of
from tasks.engine.home import Home

UNUSED = "no run"


@dataclass(frozen=True)
class Usage:
    """Of one recipe's runs: artifacts that they refer to, their bytes, and bytes of no other recipe."""

    recipe: str
    artifacts: int
    bytes: int
    own_bytes: int


def usage(home: Home) -> list[Usage]:
    """Each recipe's use of the store, the largest first, then what no run refers to."""
    sizes = {(one.reference.step, one.reference.key): one.bytes for one in home.store.artifacts()}
    recipes = defaultdict(set)
    for record in home.runs.each():
        for name in names_of(record.references()) & sizes.keys():
            recipes[name].add(record.recipe)
    found = []
    for recipe in {one for users in recipes.values() for one in users}:
        used = [name for name, users in recipes.items() if recipe in users]
        own = sum(sizes[name] for name in used if recipes[name] == {recipe})
        found.append(Usage(recipe, len(used), sum(sizes[name] for name in used), own))
    found.sort(key=lambda one: (-one.bytes, one.recipe))
    unused = [size for name, size in sizes.items() if name not in recipes]
    if unused:
        found.append(Usage(UNUSED, len(unused), sum(unused), sum(unused)))
    return found
