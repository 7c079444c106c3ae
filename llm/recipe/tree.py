"""Recipe files, what they extend, and the values that a command line sets, as one tree.

Every value keeps its place: the file and line for messages, and the folder that its paths count from.
"""

import os
from pathlib import Path

from llm.recipe.names import RECIPES, RecipeError, names
from llm.recipe.yaml import BadYAML, Fields, Items, Node, Place, Scalar, Unread, parsed, read


def read_tree(path: Path, overrides: list[str], prefix: str = "") -> Fields:
    """A file with what it extends and with overrides, each `section.field=value`. Raises RecipeError.

    prefix: what stands before the overrides' paths on the command line (`machine.`).
    """
    tree = _extended(path, ())
    for override in overrides:
        set_value(tree, override, prefix)
    return tree


def read_file(path: Path) -> Fields:
    """The sections of one file. Raises RecipeError."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    try:
        found = read(text, Place(str(path), 1, _folder(path)))
    except BadYAML as error:
        raise RecipeError(str(error)) from None
    if isinstance(found, Fields):
        return found
    what = "a list" if isinstance(found, Items) else "nothing" if not text.strip() else "one value"
    raise RecipeError(f"{path} must hold a mapping of sections, such as `name: mine`, not {what}")


def _folder(path: Path) -> Path | None:
    """What relative paths in a file count from: its folder; of a recipe of ours, the current one."""
    folder = Path(os.path.realpath(path.parent))
    return None if folder == RECIPES else folder


def _extended(path: Path, seen: tuple[Path, ...]) -> Fields:
    if path.resolve() in seen:
        raise RecipeError(f"{path} extends itself")
    tree = read_file(path)
    named = tree.items.pop("extends", None)
    if named is None or (isinstance(named, Scalar) and named.value is None):
        return tree
    if not isinstance(named, Scalar):
        raise RecipeError(f"extends: must be the path of a recipe, not a list ({named.place})")
    beside = path.parent / Path(named.text).expanduser()
    ours = RECIPES / f"{named.text}.yaml"
    base = ours if not beside.is_file() and ours.is_file() else beside
    if not base.is_file():
        known = ", ".join(names())
        raise RecipeError(
            f"{path} extends {named.text}, which is not beside it ({named.place}): give a path that "
            f"counts from {path.parent}, or one of {known}"
        )
    return _merged(_extended(base, (*seen, path.resolve())), tree)


def _merged(below: Fields, above: Fields, path: tuple[str, ...] = ()) -> Fields:
    """Sections are merged, anything else is replaced; a source of another type is another source."""
    items, keys = dict(below.items), dict(below.keys)
    for name, node in above.items.items():
        before = items.get(name)
        inner = (*path, name)
        both = isinstance(node, Fields) and isinstance(before, Fields)
        if both and not (
            len(inner) == 3 and inner[:2] == ("crawl", "sources") and _differ(before, node)
        ):
            assert isinstance(node, Fields) and isinstance(before, Fields)
            node = _merged(before, node, inner)
        items[name], keys[name] = node, above.keys.get(name, above.place)
    return Fields(items, above.place, keys)


def _differ(below: Node | None, above: Node) -> bool:
    """Whether two sources name different types."""
    assert isinstance(below, Fields) and isinstance(above, Fields)
    types = (below.items.get("type"), above.items.get("type"))
    return all(isinstance(one, Scalar) for one in types) and types[0].text != types[1].text  # type: ignore[union-attr]


def set_value(tree: Fields, override: str, prefix: str = "") -> None:
    """Apply `section.field=value`; a list's items are named by number (`finetune.0.epochs=2`)."""
    path, equals, text = override.partition("=")
    shown = f"--set {prefix}{path}"  # not the value, which may be a secret
    place = Place(shown, 0)
    if not equals or not path:
        raise RecipeError(f"{shown}: write section.field=value")
    *parents, last = path.split(".")
    node: Node = tree
    reached: list[str] = []
    for name in parents:
        node = _inside(node, name, place, ".".join(reached))
        reached.append(name)
    if isinstance(node, Items):
        _item(node, last, shown)
        node.items[int(last)] = Unread(text, place)
    elif isinstance(node, Fields):
        node.items[last], node.keys[last] = Unread(text, place), place
    else:
        raise RecipeError(f"{shown}: {'.'.join(reached)!r} is a single value, not a section")


def _inside(node: Node, name: str, place: Place, reached: str) -> Node:
    """The section or list below a name, made where there is none."""
    if isinstance(node, Items):
        _item(node, name, place.file)
        found = node.items[int(name)] = _opened(node.items[int(name)], place)
        return found
    if not isinstance(node, Fields):
        raise RecipeError(f"{place}: {reached!r} is a single value, not a section")
    found = _opened(node.items.get(name), place)
    node.items[name] = found
    node.keys.setdefault(name, place)
    return found


def _opened(node: Node | None, place: Place) -> Node:
    if isinstance(node, Unread):
        try:
            node = parsed(node)
        except BadYAML as error:
            raise RecipeError(str(error)) from None
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return Fields({}, place)
    return node


def _item(place: Items, name: str, said: str) -> None:
    if not name.isascii() or not name.isdigit() or int(name) >= len(place.items):
        count = len(place.items)
        there = f"not one of 0 to {count - 1}" if count else "not there: the list is empty"
        raise RecipeError(f"{said}: {name!r} is {there}")
