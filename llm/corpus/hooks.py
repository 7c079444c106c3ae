"""A user's own filters and sources: functions that a recipe names as `module:function`.

The one place in `llm` that imports by name. A module is looked for in the folder of the recipe that
names it, then in the current one, then on Python's path. What it is made of (itself and what it imports from its own folder) names the
results, so an edit runs again what it changes.
"""

import ast
import functools
import importlib
import importlib.metadata
import math
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm.corpus.documents import DOC_ID, EXTRACTED, batches, by_identity, content_digest, write_rows
from llm.corpus.hooks_settings import ApplyHooks, check_name
from llm.located import root_of, written
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.words import counted

_lock = threading.RLock()
_loaded: dict[str, tuple[str, Any]] = {}
_imported: set[str] = set()  # here, so that nobody else holds them


@dataclass(frozen=True)
class Reach:
    """What a hook is made of. root: the folder that its modules' names start from.

    modules: its own and those that it imports below `root` ("filters", "pkg.__init__").
    ours: modules of `llm` that it imports. libraries: installed packages ("numpy") that it imports
    or belongs to; is_installed: it belongs to one.
    """

    root: Path
    modules: tuple[str, ...]
    ours: tuple[str, ...]
    libraries: tuple[str, ...]
    is_installed: bool

    def path(self, module: str) -> Path:
        """A module's file."""
        return self.root.joinpath(*module.split(".")).with_suffix(".py")


def source_of(name: str) -> Path:
    """The file of a hook's module. Raises BadInput where there is none."""
    root, module = _find(name)
    return root.joinpath(*module.split(".")).with_suffix(".py")


def reach(name: str) -> Reach:
    """The modules whose code decides what a hook does, without running them.

    Installed packages are known by their version. Raises BadInput for a module that is missing or
    no valid Python.
    """
    root, first = _find(name)
    shared = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib")}
    if root.resolve() in shared:
        return Reach(root, (first,), (), _distributions({first.split(".")[0]}), True)
    found: set[str] = set()
    others: set[str] = set()
    waiting = [first]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        for imported in _imports(root, module):
            here = list(_modules(root, imported)) if _may_be_theirs(imported) else []
            waiting.extend(here)
            if not here:
                others.add(imported)
    candidates = {part for name in others for part in (name, name.rpartition(".")[0])}
    return Reach(
        root,
        modules=tuple(sorted(found)),
        ours=tuple(sorted(filter(_is_ours, candidates))),
        libraries=_distributions({name.split(".")[0] for name in others}),
        is_installed=False,
    )


def resolve(name: str) -> Callable[..., Any]:
    """The function that a hook's name stands for, as its file is now.

    Raises BadInput for a module or function that is missing, fails when imported or is not a function.
    """
    made_of = reach(name)
    digest = digest_of(made_of.path(module).read_bytes() for module in made_of.modules)
    module, _, function = written(name).partition(":")
    with _lock:
        place = f"{made_of.root}:{module}"
        known = _loaded.get(place)
        if known is None or known[0] != digest:
            known = _loaded[place] = (digest, _import(name, module, made_of))
    found = getattr(known[1], function, None)
    if found is None:
        there = [
            key
            for key, value in vars(known[1]).items()
            if callable(value) and getattr(value, "__module__", "") == module
        ]
        raise BadInput(
            f"{source_of(name)} has no function {function!r}; there are: {', '.join(there) or 'none'}"
        )
    if not callable(found):
        raise BadInput(f"{written(name)} is not a function but {type(found).__name__}")
    return found


def failure(name: str, error: Exception) -> Exception:
    """A user's error as BadInput that says where in his file it happened.

    A ConnectionError stays one, as it may be otherwise next time.
    """
    files = {str(path) for path in map(reach(name).path, reach(name).modules)}
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if frame.filename in files] or frames[-1:]
    where = f"{theirs[-1].filename}:{theirs[-1].lineno}" if theirs else str(source_of(name))
    kind = ConnectionError if isinstance(error, ConnectionError | TimeoutError) else BadInput
    return kind(f"the hook {written(name)} failed at {where}: {type(error).__name__}: {error}")


def schema(names: Mapping[str, Any]) -> pa.Schema:
    """Columns of hooks.parquet: doc_id and a number for each hook, by its name."""
    return pa.schema([("doc_id", DOC_ID), *((name, pa.float64()) for name in sorted(names))])


def apply(values: ApplyHooks, inputs: Inputs, context: Context) -> StepResult:
    """Ask every hook about each document of a shard: `inputs["documents"]` → hooks.parquet.

    Raises BadInput when a hook fails, or gives no number for each document.
    """
    functions = {name: resolve(function) for name, function in sorted(values.functions.items())}
    columns = schema(functions)
    rows: list[pa.RecordBatch] = []
    done = 0
    for batch in batches(inputs["documents"], ["doc_id", "url", "text"], EXTRACTED):
        texts, urls = batch["text"].to_pylist(), batch["url"].to_pylist()
        scores = [
            pa.array(_scores(values.functions[name], function, texts, urls))
            for name, function in functions.items()
        ]
        rows.append(pa.record_batch([batch["doc_id"], *scores], schema=columns))
        done += len(texts)
        context.report.progress(done, None, "documents")
    table = by_identity(pa.Table.from_batches(rows, schema=columns))
    write_rows(context.out / "hooks.parquet", table)
    return StepResult(
        counts={"documents": done},
        content=content_digest(table),
        summary=f"{counted(done, 'document')}, {counted(len(functions), 'hook')}",
    )


def _scores(
    name: str, function: Callable[..., Any], texts: list[str], urls: list[str]
) -> np.ndarray:
    """What a hook says of documents (N,), as float64."""
    try:
        given = list(function(texts, urls))
    except Exception as error:
        raise failure(name, error) from error
    if len(given) != len(texts):
        raise BadInput(
            f"the hook {written(name)} gave {len(given)} values for {len(texts)} documents"
        )
    for value in given:
        if not isinstance(value, bool | int | float | np.bool_ | np.number):
            raise BadInput(
                f"the hook {written(name)} gave {value!r}: return a number, or true or false, for each text"
            )
        if math.isinf(float(value)):
            raise BadInput(f"the hook {written(name)} gave {value!r}: return finite numbers")
    return np.array(given, dtype=np.float64)


def _find(name: str) -> tuple[Path, str]:
    """(root, module) of a hook: where the names of modules start, and its module's name there."""
    check_name(name)
    module = written(name).partition(":")[0]
    if module.split(".")[0] in sys.stdlib_module_names:
        raise BadInput(
            f"the hook {written(name)} has the name of a module of Python itself: rename its file"
        )
    named = [root for root in (root_of(name), Path.cwd()) if root is not None]
    for root in dict.fromkeys([*named, *(Path(entry or ".").absolute() for entry in sys.path)]):
        if (root.joinpath(*module.split(".")).with_suffix(".py")).is_file():
            return root, module
        if root.joinpath(*module.split("."), "__init__.py").is_file():
            return root, f"{module}.__init__"
    raise BadInput(
        f"the hook {written(name)} needs a file {module.replace('.', '/')}.py: there is none in "
        f"{' nor in '.join(map(str, dict.fromkeys(named)))} nor on Python's path (PYTHONPATH)"
    )


def _modules(root: Path, imported: str) -> Iterator[str]:
    """The modules below `root` that an import runs: packages on the way, and the module."""
    parts = imported.split(".")
    for count in range(1, len(parts) + 1):
        name = parts[:count]
        if root.joinpath(*name, "__init__.py").is_file():
            yield ".".join([*name, "__init__"])
        elif root.joinpath(*name).with_suffix(".py").is_file():
            yield ".".join(name)


def _imports(root: Path, module: str) -> Iterator[str]:
    """The names that a module imports, wherever in it; of `from a import b`, a.b."""
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise BadInput(f"{path}{line} is not valid Python: {error}") from None
    package = module.split(".")[:-1]
    for count in range(1, len(package) + 1):
        yield ".".join(package[:count])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def _may_be_theirs(imported: str) -> bool:
    top = imported.split(".")[0]
    return top != "llm" and top not in sys.stdlib_module_names


def _distributions(packages: set[str]) -> tuple[str, ...]:
    """The names under which packages are installed ("sklearn" → scikit-learn)."""
    if not packages - sys.stdlib_module_names - {"llm"}:
        return ()
    installed = _installed()
    return tuple(sorted({name for package in packages for name in installed.get(package, [])}))


@functools.cache
def _installed() -> Mapping[str, list[str]]:
    found = dict(importlib.metadata.packages_distributions())
    found.pop("llm", None)
    return found


def _is_ours(module: str) -> bool:
    root = Path(__file__).resolve().parents[2]
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    return module.startswith("llm.") and path.is_file()


def _import(name: str, module: str, made_of: Reach) -> Any:
    """Import a hook's module again, and what it is made of."""
    parts = {part.removesuffix(".__init__") for part in made_of.modules}
    if not made_of.is_installed:
        for part in {module} | parts & _imported:
            sys.modules.pop(part, None)
    _imported.update(parts - sys.modules.keys())
    importlib.invalidate_caches()
    root, wrote = str(made_of.root), sys.dont_write_bytecode
    # Compiled files are told apart by the second: one of an edit before would be taken for this.
    sys.dont_write_bytecode = True
    sys.path.insert(0, root)
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise failure(name, error) from error
    finally:
        sys.path.remove(root)
        sys.dont_write_bytecode = wrote
