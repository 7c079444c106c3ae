"""The documentation of a Python installation, read from its source and never by importing it.

`standard_library()` and `installed_packages()` find modules by file name only; `read(source)`
parses one of them. Everything comes in a fixed order: modules by name, definitions as in the file.
"""

import ast
import importlib.metadata
import os
import sysconfig
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

SITE = "http://docs.penstock.test"

# Folders and modules that are not documentation: tests, build configuration, Easter eggs.
_SKIPPED_FOLDERS = {"test", "tests", "idle_test", "testing", "site-packages", "dist-packages"}
_SKIPPED_MODULES = {"antigravity", "this", "pydoc_data", "sitecustomize", "usercustomize"}
# Source files whose module is known under another name: pure-Python twins of compiled modules.
_ALIASES = {
    "posixpath": "os.path",
    "_pydecimal": "decimal",
    "_pydatetime": "datetime",
    "_pyio": "io",
}
# Penstock's own modules never document themselves.
_OWN_DISTRIBUTION = "penstock"

_parsing = threading.Lock()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function; `default` and `annotation` are source text."""

    name: str
    kind: str  # positional-only, positional, variadic, keyword-only or keywords
    default: str | None
    annotation: str | None


@dataclass(frozen=True)
class Function:
    """A function or method. `signature` reads `join(a, *p)`; `doc` may be empty."""

    name: str
    qualified_name: str
    kind: str  # function, method, classmethod, staticmethod or property
    signature: str
    doc: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Class:
    """A class and its public methods (dunder methods only where they are documented)."""

    name: str
    qualified_name: str
    bases: tuple[str, ...]
    doc: str
    methods: tuple[Function, ...]


@dataclass(frozen=True)
class Module:
    """What one module documents. `url` is its page's; `imports` are the modules that it names."""

    name: str
    url: str
    doc: str
    functions: tuple[Function, ...]
    classes: tuple[Class, ...]
    imports: tuple[str, ...]

    @property
    def has_text(self) -> bool:
        """Whether anything in it is documented."""
        methods = [method for a_class in self.classes for method in a_class.methods]
        documented: list[Function | Class] = [*self.functions, *self.classes, *methods]
        return bool(self.doc) or any(item.doc for item in documented)


@dataclass(frozen=True)
class Topic:
    """A chapter of the language reference, as `help("assert")` shows it."""

    name: str
    url: str
    text: str


@dataclass(frozen=True)
class Source:
    """Where a module's text lies. `distribution` is empty for the standard library."""

    name: str
    path: Path
    distribution: str = ""

    @property
    def url(self) -> str:
        """The address of the module's page."""
        return f"{SITE}/{'packages' if self.distribution else 'library'}/{self.name}.html"


def standard_library(folder: Path | None = None) -> list[Source]:
    """The public modules of the standard library, sorted by name."""
    folder = folder or Path(sysconfig.get_path("stdlib"))
    found: dict[str, Source] = {}
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        for file in sorted(files):
            path = Path(base, file)
            name = _module_name(path.relative_to(folder).as_posix())
            if name is not None:  # a pure-Python twin sorts before the module it stands for
                found.setdefault(name, Source(name, path))
    return [found[name] for name in sorted(found)]


def installed_packages() -> list[Source]:
    """The public modules of every installed distribution except Penstock's own, sorted by name."""
    found: dict[str, Source] = {}
    for title, distribution in _distributions():
        for file in distribution.files or ():
            name = _module_name(str(PurePosixPath(file)))
            path = Path(str(distribution.locate_file(file)))
            if name is not None and name not in found and path.is_file():
                found[name] = Source(name, path, title)
    return [found[name] for name in sorted(found)]


def installed_versions() -> list[str]:
    """`name==version` of every distribution that `installed_packages` documents, sorted."""
    return [f"{title}=={distribution.version}" for title, distribution in _distributions()]


def modules(sources: list[Source]) -> Iterator[Module]:
    """Read the modules that have text, in the order of `sources`."""
    for source in sources:
        module = read(source)
        if module is not None and module.has_text:
            yield module


def read(source: Source) -> Module | None:
    """Parse one module; None when its file is not valid Python (a template, another version's)."""
    try:
        text = source.path.read_bytes()
        # Parsing warns about other people's escapes, and the filters that silence it are global.
        with _parsing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return None
    functions: dict[str, Function] = {}
    classes: dict[str, Class] = {}
    exported = _exported(tree)
    for node in _definitions(tree):
        if node.name not in exported if exported else node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            _keep_documented(classes, node.name, _class(node, source.name))
        elif not _is_overload(node):
            _keep_documented(functions, node.name, _function(node, source.name, "function"))
    return Module(
        name=source.name,
        url=source.url,
        doc=ast.get_docstring(tree) or "",
        functions=tuple(functions.values()),
        classes=tuple(classes.values()),
        imports=tuple(_imports(tree, source)),
    )


def topics(folder: Path | None = None) -> list[Topic]:
    """The chapters of the language reference that come with Python, sorted by name."""
    path = (folder or Path(sysconfig.get_path("stdlib"))) / "pydoc_data" / "topics.py"
    if not path.is_file():  # some systems package it apart
        return []
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            texts: dict[str, str] = ast.literal_eval(node.value)
            return [
                Topic(name, f"{SITE}/topics/{name}.html", text.strip("\n"))
                for name, text in sorted(texts.items())
            ]
    return []


def _distributions() -> list[tuple[str, importlib.metadata.Distribution]]:
    """Every installed distribution but our own, by name."""
    named: dict[str, importlib.metadata.Distribution] = {}
    for item in importlib.metadata.distributions():
        title = item.metadata["Name"] or ""
        if title and title.lower() != _OWN_DISTRIBUTION:
            named.setdefault(title, item)
    return sorted(named.items())


def _module_name(file: str) -> str | None:
    """The dotted name of a public module, None for what is not to be documented."""
    if not file.endswith(".py") or ".." in file:
        return None
    parts = file.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts = parts[:-1]
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    name = ".".join(parts)
    if name in _ALIASES:
        return _ALIASES[name]
    if any(part in _SKIPPED_FOLDERS for part in parts) or parts[0] in _SKIPPED_MODULES:
        return None
    if any(part.startswith("_") and part != "__future__" for part in parts):
        return None
    return name


_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _definitions(node: ast.AST) -> Iterator[_Definition]:
    """Functions and classes of a body, also those inside `if` and `try`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Definition):
            yield child
        elif isinstance(child, ast.If | ast.Try | ast.ExceptHandler | ast.With):
            yield from _definitions(child)


def _exported(tree: ast.Module) -> set[str]:
    """The names in a literal `__all__`; empty where there is none."""
    names: set[str] = set()
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.List | ast.Tuple):
                names.update(
                    item.value
                    for item in value.elts
                    if isinstance(item, ast.Constant) and isinstance(item.value, str)
                )
    return names


_Documented = TypeVar("_Documented", Function, Class)


def _keep_documented(found: dict[str, _Documented], name: str, item: _Documented) -> None:
    """Of several definitions of a name (by platform, say) keep the first, or the first with text."""
    if name not in found or (item.doc and not found[name].doc):
        found[name] = item


def _class(node: ast.ClassDef, prefix: str) -> Class:
    qualified = f"{prefix}.{node.name}"
    methods: dict[str, Function] = {}
    for child in _definitions(node):
        if isinstance(child, ast.ClassDef) or _is_overload(child):
            continue
        method = _function(child, qualified, "method")
        special = child.name.startswith("__") and child.name.endswith("__")
        if child.name.startswith("_") and not (special and method.doc):
            continue
        _keep_documented(methods, child.name, method)
    return Class(
        name=node.name,
        qualified_name=qualified,
        bases=tuple(ast.unparse(base) for base in node.bases),
        doc=ast.get_docstring(node) or "",
        methods=tuple(methods.values()),
    )


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, prefix: str, kind: str) -> Function:
    for decorator in node.decorator_list:
        text = ast.unparse(decorator)
        if text in {"classmethod", "staticmethod"}:
            kind = text
        elif text.split(".")[-1] in {"property", "cached_property"}:
            kind = "property"
    signature = node.name
    if kind != "property":
        signature += f"({ast.unparse(node.args)})"
    if node.returns is not None:
        signature += f" -> {ast.unparse(node.returns)}"
    return Function(
        name=node.name,
        qualified_name=f"{prefix}.{node.name}",
        kind=kind,
        signature=signature,
        doc=ast.get_docstring(node) or "",
        parameters=tuple(_parameters(node.args)),
    )


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    """Parameters in the order of the signature, `self` and `cls` included."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        only = index < len(arguments.posonlyargs)
        yield _parameter(argument, "positional-only" if only else "positional", default)
    if arguments.vararg:
        yield _parameter(arguments.vararg, "variadic", None)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, "keyword-only", default)
    if arguments.kwarg:
        yield _parameter(arguments.kwarg, "keywords", None)


def _parameter(argument: ast.arg, kind: str, default: ast.expr | None) -> Parameter:
    return Parameter(
        name=argument.arg,
        kind=kind,
        default=None if default is None else ast.unparse(default),
        annotation=None if argument.annotation is None else ast.unparse(argument.annotation),
    )


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Typing overloads and property setters repeat a name without a text of its own."""
    endings = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    return bool(endings & {"overload", "setter", "deleter"})


def _imports(tree: ast.Module, source: Source) -> list[str]:
    """The modules named by top-level imports, sorted; relative ones made absolute."""
    package = source.name.split(".")
    if source.path.name != "__init__.py":
        package = package[:-1]
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names.add(".".join([*base, *([node.module] if node.module else [])]))
    return sorted(names - {"", source.name})
