"""The identity of code and values: what, if it changes, makes a step run again.

A step's fingerprint covers the syntax trees of every `llm` module that its module reaches by
import, the package data that these modules name in `DATA`, and the versions of the libraries that
they name in `LIBRARIES`. Comments, docstrings, descriptions of fields and imports for the type
checker alone are left out. Reformatting changes nothing; editing a helper changes each step that
reaches it, and no other.
"""

import ast
import dataclasses
import functools
import json
import math
import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from llm.located import without_folders
from llm.parsed import Parsed, kept
from llm.step import digest_of

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "llm"


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What a step's code is made of: module → digest, library → version."""

    modules: Mapping[str, str]
    libraries: Mapping[str, str]

    @functools.cached_property
    def digest(self) -> str:
        """Hex digest over modules and libraries."""
        return digest_values({"modules": dict(self.modules), "libraries": dict(self.libraries)})

    def changes(self, before: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Say in words what differs from `before` (a manifest's record of a fingerprint)."""
        said = []
        for kind, now in (("module", self.modules), ("library", self.libraries)):
            then = before.get("modules" if kind == "module" else "libraries", {})
            for name in sorted(set(now) | set(then)):
                if now.get(name) == then.get(name):
                    continue
                if kind == "library":
                    said.append(f"{name} {then.get(name, 'none')} → {now.get(name, 'none')}")
                else:
                    verb = "added" if name not in then else "gone" if name not in now else "edited"
                    said.append(f"{name.replace('.', '/')}.py {verb}")
        return said


def fingerprint(module: str, *parts: str, root: Path | None = None) -> Fingerprint:
    """The fingerprint of the step that `module` (such as "llm.corpus.extract") defines.

    parts: modules that a call of it chooses besides. Raises ValueError for a module that does not
    exist below `root`.
    """
    base = root or ROOT
    digests: dict[str, str] = {}
    libraries: dict[str, str] = {}
    waiting = [module, *parts]
    while waiting:
        name = waiting.pop()
        if name in digests:
            continue
        part = _module(name, base)
        digests[name] = part.digest
        for library in part.libraries:
            libraries[library] = library_version(library)
        waiting.extend(part.imports)
    return Fingerprint(
        modules=dict(sorted(digests.items())), libraries=dict(sorted(libraries.items()))
    )


def library_version(name: str) -> str:
    """The installed version of a distribution; "python" is the interpreter's own.

    Raises ValueError where it is not installed, since the step that names it could not run.
    """
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise ValueError(f"the library {name!r} is not installed: run `make setup`") from None


@dataclasses.dataclass(frozen=True)
class _Module:
    code: str
    data: tuple[Path, ...]
    imports: tuple[str, ...]
    libraries: tuple[str, ...]

    @property
    def digest(self) -> str:
        return digest_of([self.code, *(path.read_bytes() for path in self.data)])


def _module(name: str, root: Path) -> _Module:
    path = root.joinpath(*name.split(".")).with_suffix(".py")
    if not path.is_file():
        raise ValueError(f"no module {name} at {path}")
    stat = path.stat()
    return _read(name, path, root, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _read(name: str, path: Path, root: Path, mtime: int, size: int) -> _Module:
    parsed = kept(path.read_bytes(), lambda source: _parse(source, path))
    return _Module(
        code=parsed["code"],
        data=tuple(path.parent.joinpath(item) for item in parsed["data"]),
        imports=tuple(
            sorted({found for found in _there(parsed["imports"], root) if found != name})
        ),
        libraries=tuple(parsed["libraries"]),
    )


def _parse(source: bytes, path: Path) -> Parsed:
    tree = ast.parse(source, filename=str(path))
    named = {"LIBRARIES": (), "DATA": ()} | dict(_constants(tree))
    return {
        "code": digest_of(["".join(_canonical(tree))]),
        "data": list(named["DATA"]),
        "imports": sorted(set(_imports(tree))),
        "libraries": list(named["LIBRARIES"]),
    }


def _constants(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target = node.targets[0].id
            if target in ("LIBRARIES", "DATA"):
                yield target, tuple(ast.literal_eval(node.value))


def _imports(tree: ast.Module) -> Iterator[str]:
    """What a module imports of `llm`, wherever in it the import stands."""
    for node in _walked(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE)


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """A tree's nodes without what only a type checker reads."""
    if not _is_for_types(node):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _walked(child)


def _is_for_types(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        and not node.orelse
    )


def _there(names: Iterable[str], root: Path) -> Iterator[str]:
    """The modules that imports name."""
    for name in names:
        # `from llm.corpus import signals` names a module, `from llm.corpus.signals import measure`
        # something in one.
        for candidate in (name, name.rpartition(".")[0]):
            if root.joinpath(*candidate.split(".")).with_suffix(".py").is_file():
                yield candidate
                break


def _canonical(node: Any) -> Iterator[str]:
    """Serialise a syntax tree without what cannot change a result.

    Not `ast.dump`: its form differs between Python versions.
    """
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if _is_for_types(node):
            return
        yield f"({type(node).__name__}"
        for field, value in ast.iter_fields(_without_description(node)):
            if value is None or value == [] or field in ("type_comment", "kind", "type_params"):
                continue
            yield f" {field}="
            yield from _canonical(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _canonical(item)
        yield "]"
    else:
        yield repr(node)


def _without_description(node: ast.AST) -> ast.AST:
    """`setting(default=800, description="Pages to fetch.", gt=0)` without its description."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return node
    if node.func.id != "setting":
        return node
    keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
    return ast.Call(func=node.func, args=node.args, keywords=keywords)


# Thousands of calls have the same section of a recipe. The object is kept, so that its id stays its own.
_PLAIN: dict[tuple[int, bool], tuple[Any, dict[str, Any]]] = {}
MOST_PLAIN = 512


def plain(value: Any, deciding: bool = False) -> Any:
    """Turn validated values into plain JSON types.

    deciding: without the fields that say how a result is made, not what it is (see `setting`).

    Raises TypeError for anything without one stable serialisation (a set, an object, NaN).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        known = _PLAIN.get((id(value), deciding))
        if known is not None and known[0] is value:
            return known[1]
        found = {
            field.name: plain(_named(value, field), deciding)
            for field in dataclasses.fields(value)
            if not deciding or field.metadata.get("decides", True)
        }
        if len(_PLAIN) >= MOST_PLAIN:
            _PLAIN.clear()
        _PLAIN[id(value), deciding] = value, found
        return found
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"keys must be strings: {list(value)!r}")
        return {key: plain(item, deciding) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, deciding) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        # A default of 50 and the 50.0 that a recipe's 50 is read as are one value.
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    raise TypeError(f"no stable serialisation for {value!r} ({type(value).__name__})")


def not_deciding(value: Any, path: str = "") -> Iterator[str]:
    """The paths ("optimizer.epsilon") of the fields that are not part of a key."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            inner = f"{path}.{field.name}".strip(".")
            if not field.metadata.get("decides", True):
                yield inner
            else:
                yield from not_deciding(getattr(value, field.name), inner)


def _named(value: Any, field: "dataclasses.Field[Any]") -> Any:
    """A field's value; of one with paths, how they were written: a project may move."""
    found = getattr(value, field.name)
    return without_folders(found) if field.metadata.get("path") else found


def digest_values(value: Any) -> str:
    """Hex digest of values: the same for the same content, whatever the order of mappings."""
    return digest_plain(plain(value))


def digest_plain(value: Any) -> str:
    """`digest_values` of what is plain already."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return digest_of([text])
