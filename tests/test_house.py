"""The house: no file or function that does not fit in a head, no circles, nothing imported by name."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("llm", "tasks", "flows")
LONGEST_FILE, LONGEST_FUNCTION = 400, 60  # lines
# A longer one says why in the lines above it (a file: in its first lines): `# Long: one pass over ...`.
REASON = re.compile(r"^# Long: \S+( \S+){4,}", re.MULTILINE)
FIRST_LINES = 20

# Who may import a module by a name that is no statement, and why.
BY_NAME = {
    "llm/corpus/hooks.py": "users' code: what it reaches is part of the key by `hooks.reach`",
    "llm/parts.py": "parts that the values of a call choose: the call names them in its key",
    "tasks/engine/step.py": "a step by its name, so that planning imports no step",
    "flows/cli/app.py": "the groups of commands, each a file beside it",
    "tasks/stages/catalogue.py": "the steps of all stages, each file beside it; none of them is run",
}
# What `llm.parts.unkeyed` may name: modules that are no part of a step's identity, and why.
UNKEYED = {
    "llm.machine": "how this machine is used",
    "llm.registry": "names of parts: the call names those that it chose",
    "llm.models.presets": "what a named size fills in is in the values",
    "llm.models.layouts.choose": "the layout that fits is in the values",
    "llm.training.ranks.launch": "how ranks are started and watched",
    "llm.training.scaling.cost": "whether the disk has room",
    "llm.training.meter": "what is told of a step",
    "llm.training.environment": "what is told of the machine",
}
_IMPORTERS = {"import_module", "__import__", "exec", "run_path", "run_module"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf8"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(text: str) -> Iterator[tuple[str, int, bool]]:
    """Name, length in lines (from `def` to its end), and whether a reason stands above it."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
            above: list[str] = []
            while first > len(above) and lines[first - len(above) - 1].lstrip().startswith("#"):
                above.insert(0, lines[first - len(above) - 1].strip())
            reason = REASON.search("\n".join(above)) is not None
            yield node.name, (node.end_lineno or 0) - node.lineno + 1, reason


def too_long(text: str) -> Iterator[str]:
    """What is wrong with the lengths in a file: too long without a reason, or a reason for nothing."""
    length = len(text.splitlines())
    head = "\n".join(text.splitlines()[:FIRST_LINES])
    if length > LONGEST_FILE and not REASON.search(head):
        yield f"{length} lines"
    for name, lines, reason in functions(text):
        if lines > LONGEST_FUNCTION and not reason:
            yield f"{name}: {lines} lines"
        if lines <= LONGEST_FUNCTION and reason:
            yield f"{name} is not long any more: its reason can go"


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks"])
def test_files_and_functions_fit_in_a_head_or_say_why_not(folder: str) -> None:
    found = {
        str(path.relative_to(ROOT)): list(too_long(path.read_text("utf8")))
        for path in sources(folder)
    }
    assert {path: said for path, said in found.items() if said} == {}


def test_a_reason_is_asked_for_and_believed_only_where_it_is_needed() -> None:
    long = "def f():\n" + "    x = 1\n" * 60
    assert list(too_long(long)) == ["f: 61 lines"]
    assert list(too_long(f"# Long: one pass over the text, compiled.\n@inner\n{long}")) == []
    assert list(too_long(f"# Long:\n{long}")) == ["f: 61 lines"]
    assert list(too_long(f"# Long: one pass over the text, compiled.\n\n{long}")) == ["f: 61 lines"]
    short = "# Long: one pass over the text, compiled.\ndef f():\n    pass\n"
    assert list(too_long(short)) == ["f is not long any more: its reason can go"]
    assert list(too_long("x = 1\n" * 401)) == ["401 lines"]


def imports(tree: ast.AST) -> Iterator[str]:
    """What is imported, wherever the statement stands, but for the type checker alone."""
    if isinstance(tree, ast.If) and getattr(tree.test, "id", "") == "TYPE_CHECKING":
        for other in tree.orelse:
            yield from imports(other)
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for child in ast.iter_child_nodes(tree):
        yield from imports(child)


def graph() -> dict[str, set[str]]:
    """Which of our modules each one imports."""
    paths = {name_of(path): path for path in sources(*PACKAGES)}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        named = set(imports(tree_of(path)))
        there = {one if one in paths else one.rpartition(".")[0] for one in named}
        found[name] = {one for one in there if one in paths and one != name}
    return found


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Modules that reach themselves, each circle once (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            at = stack.index(name)
            if len(stack) > at + 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(edges):
        if name not in order:
            visit(name)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    tree = ast.parse(
        "def f():\n    from llm import late\nif TYPE_CHECKING:\n    import llm.never\n"
    )
    assert list(imports(tree)) == ["llm.late"]


def test_no_module_reaches_itself_by_import() -> None:
    """Also not by imports inside functions: a circle is one subject in two files, or two in one."""
    assert circles(graph()) == []


def test_what_stands_apart_from_every_key_is_named_here() -> None:
    found = {
        argument.value if isinstance(argument, ast.Constant) else ast.unparse(argument)
        for path in sources(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "unkeyed"
        for argument in node.args
    }
    assert found == set(UNKEYED)


def test_modules_are_imported_by_statement_but_in_named_places() -> None:
    """A step's key covers what its module reaches by statements: other imports would hide from it."""
    found = {
        str(path.relative_to(ROOT))
        for path in sources(*PACKAGES)
        for node in ast.walk(tree_of(path))
        # A name, an attribute, or what `from importlib import ...` names.
        if {getattr(node, field, None) for field in ("id", "attr", "name")} & _IMPORTERS
    }
    assert found == {place for place in BY_NAME if (ROOT / place).is_file()}
