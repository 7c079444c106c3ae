"""What is read from source must be what Python itself shows of the imported module."""

import inspect
import json
import os.path
import pydoc_data.topics
import sys
import textwrap
from pathlib import Path

from llm.corpus.site import documentation


def module(name: str) -> documentation.Module:
    source = next(item for item in documentation.standard_library() if item.name == name)
    read = documentation.read(source)
    assert read is not None
    return read


def test_docstrings_are_those_of_inspect() -> None:
    functions = {item.name: item for item in module("os.path").functions}
    for name in ("join", "basename", "expandvars", "realpath"):
        assert functions[name].doc == inspect.getdoc(getattr(os.path, name))
    assert module("json").doc == inspect.getdoc(json)


def test_signatures_are_those_of_inspect() -> None:
    for function in module("json").functions:
        expected = inspect.signature(getattr(json, function.name))
        assert function.signature == function.name + str(expected)
        assert [item.name for item in function.parameters] == list(expected.parameters)


def test_private_names_and_overloads_stay_out_and_properties_are_known(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text(
        textwrap.dedent(
            '''
            """A sample."""
            from typing import overload
            from . import other

            @overload
            def read(a: int) -> int: ...
            def read(a, /, b=1, *c, d: str = "x", **e):
                """Read it."""
            def _hidden():
                """Nobody sees this."""
            class Box(dict):
                def __init__(self):
                    """Make it."""
                def __len__(self):
                    return 0
                @property
                def size(self) -> int:
                    """How large."""
            '''
        )
    )
    read = documentation.read(documentation.Source("pack.sample", path))
    assert read is not None
    (function,) = read.functions
    assert function.signature == "read(a, /, b=1, *c, d: str='x', **e)"
    assert [item.kind for item in function.parameters] == [
        "positional-only",
        "positional",
        "variadic",
        "keyword-only",
        "keywords",
    ]
    assert [item.default for item in function.parameters] == [None, "1", None, "'x'", None]
    (box,) = read.classes
    assert box.bases == ("dict",)
    assert [item.signature for item in box.methods] == ["__init__(self)", "size -> int"]
    assert box.methods[1].qualified_name == "pack.sample.Box.size"
    assert read.imports == ("pack", "typing")


def test_a_file_that_is_no_python_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "template.py"
    for text in (b"def {{name}}:", b"\x00", b"# coding: nonsense\n", b"x = " + b"(" * 5000):
        path.write_bytes(text)
        assert documentation.read(documentation.Source("template", path)) is None


def test_topics_are_those_of_help() -> None:
    found = documentation.topics()
    assert {item.name for item in found} == set(pydoc_data.topics.topics)
    assert all(item.text == pydoc_data.topics.topics[item.name].strip("\n") for item in found)


def test_there_are_several_hundred_modules_and_none_is_imported() -> None:
    before = set(sys.modules)
    sources = documentation.standard_library()
    names = [item.name for item in sources]
    assert names == sorted(set(names))
    assert len(names) > 400
    assert {"json", "os.path", "datetime", "decimal", "email.message"} <= set(names)
    assert not [name for name in names if name.startswith("test.") or "._" in name]
    for source in sources:
        if source.name.startswith("turtledemo."):
            documentation.read(source)
    assert not {name for name in set(sys.modules) - before if name.startswith("turtledemo")}


def test_installed_packages_are_documented_without_our_own() -> None:
    names = {item.name for item in documentation.installed_packages()}
    assert {"httpx", "pydantic.main"} <= names
    assert not {name for name in names if name.split(".")[0] in {"llm", "tasks", "flows"}}
