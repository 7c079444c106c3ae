"""What changes a step's identity, and what must not."""

import ast
from pathlib import Path

import pytest

from llm import fingerprint as fp
from llm.fingerprint import digest_values, fingerprint, not_deciding, plain
from llm.settings import section, setting

PACKAGE = Path(fp.__file__).parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small package: a reaches b and (lazily) c; d stands apart."""
    files = {
        "a.py": '"""Doc."""\nfrom llm.b import helper\nLIBRARIES = ("numpy",)\n\ndef step():\n    """Doc."""\n    from llm import c\n    return helper() + c.VALUE\n',
        "b.py": "def helper():\n    return 1\n",
        "c.py": 'from llm.settings import setting\nDATA = ("words.txt",)\nVALUE = 1\nSIZE = setting(default=3, description="How many.", gt=0)\n',
        "d.py": "VALUE = 2\n",
        "settings.py": "def setting(*, default, description='', **bounds):\n    return default\n",
        "words.txt": "one\n",
    }
    (tmp_path / "llm").mkdir()
    for name, text in files.items():
        (tmp_path / "llm" / name).write_text(text)
    return tmp_path


def edit(tree: Path, name: str, old: str, new: str) -> None:
    path = tree / "llm" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_reaches_every_module_that_is_imported_wherever_the_import_stands(tree: Path) -> None:
    found = fingerprint("llm.a", root=tree)
    assert set(found.modules) == {"llm.a", "llm.b", "llm.c", "llm.settings"}


def test_what_only_a_type_checker_imports_is_not_reached(tree: Path) -> None:
    before = fingerprint("llm.a", root=tree)
    edit(
        tree,
        "b.py",
        "def helper",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from llm.d import VALUE\n\ndef helper",
    )
    after = fingerprint("llm.a", root=tree)
    assert set(after.modules) == set(before.modules)
    edit(tree, "b.py", "import VALUE\n", "import VALUE as OTHER\n")
    assert fingerprint("llm.a", root=tree).digest == after.digest
    # What stands beside it for a run is reached.
    edit(tree, "b.py", "as OTHER\n", "as OTHER\nelse:\n    from llm import d\n")
    assert "llm.d" in fingerprint("llm.a", root=tree).modules


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.py", '"""Doc."""', '"""Another text."""'),
        ("b.py", "return 1", "return 1  # why not"),
        ("b.py", "return 1", "return (\n        1\n    )"),
        ("c.py", '"How many."', '"How many of them (count)."'),
        ("d.py", "VALUE = 2", "VALUE = 3"),
    ],
)
def test_comments_docstrings_descriptions_layout_and_unreached_modules_change_nothing(
    tree: Path, name: str, old: str, new: str
) -> None:
    before = fingerprint("llm.a", root=tree).digest
    edit(tree, name, old, new)
    assert fingerprint("llm.a", root=tree).digest == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("b.py", "return 1", "return 2"),
        ("c.py", "gt=0", "gt=1"),
        ("c.py", "default=3", "default=4"),
        ("words.txt", "one", "two"),
    ],
)
def test_code_defaults_and_package_data_change_it(
    tree: Path, name: str, old: str, new: str
) -> None:
    before = fingerprint("llm.a", root=tree)
    edit(tree, name, old, new)
    after = fingerprint("llm.a", root=tree)
    assert after.digest != before.digest
    assert after.changes({"modules": before.modules, "libraries": before.libraries})


def test_a_library_that_a_module_names_counts_with_its_version(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint("llm.a", root=tree)
    monkeypatch.setattr(fp.metadata, "version", lambda name: "99.0")
    after = fingerprint("llm.a", root=tree)
    assert after.digest != before.digest
    assert after.changes({"modules": before.modules, "libraries": before.libraries}) == [
        f"numpy {before.libraries['numpy']} → 99.0"
    ]


def test_values_without_a_stable_serialisation_are_refused() -> None:
    for value in ({1, 2}, object(), float("nan"), {1: 2}):
        with pytest.raises(TypeError):
            digest_values({"field": value} if not isinstance(value, dict) else value)


def test_the_order_of_a_mapping_does_not_matter_but_types_do() -> None:
    assert digest_values({"a": 1, "b": 2}) == digest_values({"b": 2, "a": 1})
    assert digest_values({"a": 1}) != digest_values({"a": 1.5})
    assert digest_values({"a": 1}) != digest_values({"a": "1"})
    assert digest_values({"a": None}) != digest_values({})


def test_packages_are_empty_and_imports_are_absolute() -> None:
    """Re-exports would make every step reach everything. Imports by name: see tests/test_house.py."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        # No step may reach the recipe, the store or the runs, so theirs hide nothing.
        if path.name == "__init__.py" and path.parent.name not in ("recipe", "store", "runs"):
            assert text == "", path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"


def test_a_whole_number_is_the_same_value_as_a_float() -> None:
    assert digest_values({"min_words": 50}) == digest_values({"min_words": 50.0})
    assert digest_values({"min_words": 50}) != digest_values({"min_words": 50.5})


@section
class Inner:
    rate: float = setting(default=0.1)
    rest: float | None = setting(default=None, decides=False)


@section
class Outer:
    name: str = setting(default="a", decides=False)
    size: int = setting(default=3)
    inner: Inner = setting(default=Inner)


def test_fields_that_say_how_are_no_part_of_what_decides() -> None:
    one, other = Outer(), Outer(name="b", inner=Inner(rest=2.5))
    assert plain(one, deciding=True) == {"size": 3, "inner": {"rate": 0.1}}
    assert plain(one, deciding=True) == plain(other, deciding=True)
    assert plain(one) != plain(other)
    assert plain(Outer(size=4), deciding=True) != plain(one, deciding=True)
    assert set(not_deciding(one)) == {"name", "inner.rest"}


def test_parts_that_a_call_chooses_are_code_of_it(tree: Path) -> None:
    alone = fingerprint("llm.a", root=tree)
    assert "llm.d" not in alone.modules
    chosen = fingerprint("llm.a", "llm.d", root=tree)
    assert set(chosen.modules) == {*alone.modules, "llm.d"}
    edit(tree, "d.py", "2", "3")
    assert fingerprint("llm.a", root=tree).digest == alone.digest
    assert fingerprint("llm.a", "llm.d", root=tree).digest != chosen.digest
