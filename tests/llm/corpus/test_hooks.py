"""Users' own filters: found, run as they are now, told apart by what they are made of."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from llm.corpus import hooks
from llm.corpus.extract import ExtractSettings, ExtractShard, extract
from llm.corpus.hooks import ApplyHooks, reach, resolve, source_of
from llm.corpus.hooks_settings import HookSettings
from llm.step import BadInput, Context
from tasks.engine.step import Call
from tasks.stages.examine import HOOKS
from tasks.stages.sources import hook_identity, hook_parts
from tests.llm.corpus.crawls import make_texts

LENGTH = """
from counting import words

def long(texts, urls):
    return [words(text) / 10 for text in texts]

def even(texts, urls):
    return [len(text) % 2 == 0 for text in texts]
"""
COUNTING = "def words(text):\n    return len(text.split())\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a filter, which is the current one."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / "length_filter.py").write_text(LENGTH)
    (root / "counting.py").write_text(COUNTING)
    (root / "unrelated.py").write_text("x = 1\n")
    monkeypatch.chdir(root)
    return root


def documents(tmp_path: Path, texts: list[str]) -> Path:
    """A shard of documents, as extract leaves it."""
    crawl = make_texts(tmp_path / "crawl", [(f"http://a.de/{i}", t) for i, t in enumerate(texts)])
    out, work = tmp_path / "extracted", tmp_path / "extract-work"
    out.mkdir()
    work.mkdir()
    values = ExtractShard(source="s", part="00000", settings=ExtractSettings(min_characters=1))
    extract(values, {"pages": [crawl]}, Context(out=out, work=work))
    return out


def scores(tmp_path: Path, context: Context, texts: list[str], **functions: str) -> dict[str, list]:
    """What hooks say, by text."""
    shard = documents(tmp_path, texts)
    hooks.apply(ApplyHooks(functions=functions), {"documents": [shard]}, context)
    said = {
        row.pop("doc_id"): row for row in pq.read_table(context.out / "hooks.parquet").to_pylist()
    }
    rows = pq.read_table(shard / "documents.parquet").to_pylist()
    assert set(said) == {row["doc_id"] for row in rows}
    return {row["text"]: list(said[row["doc_id"]].values()) for row in rows}


def test_every_document_is_asked_about_and_joined_by_identity(
    folder: Path, tmp_path: Path, context: Context
) -> None:
    texts = ["word " * n + "end" for n in range(1, 30)]
    found = scores(
        tmp_path, context, texts, b_long="length_filter:long", a_even="length_filter:even"
    )
    assert found == {text: [float(len(text) % 2 == 0), len(text.split()) / 10] for text in texts}
    schema = pq.read_schema(context.out / "hooks.parquet")
    assert schema.equals(hooks.schema({"b_long": 0, "a_even": 0}))
    assert schema.names == ["doc_id", "a_even", "b_long"]


def test_limits_decide_from_numbers() -> None:
    numbers = np.array([0.0, 0.5, 1.0, np.nan])
    assert HookSettings(function="a:b").keeps(numbers).tolist() == [False, True, True, False]
    both = HookSettings(function="a:b", min=0.2, max=0.7)
    assert both.keeps(numbers).tolist() == [False, True, False, False]
    none = HookSettings(function="a:b", min=None)
    assert none.keeps(numbers).tolist() == [True, True, True, False]


def test_identity_follows_the_code_and_what_it_imports(folder: Path) -> None:
    assert source_of("length_filter:long") == folder / "length_filter.py"
    assert reach("length_filter:long").modules == ("counting", "length_filter")
    before = hook_identity("length_filter:long")
    (folder / "unrelated.py").write_text("x = 2\n")
    (folder / "counting.py").write_text(f"# a comment\n{COUNTING}")
    assert hook_identity("length_filter:long") == before
    (folder / "counting.py").write_text(COUNTING.replace("split()", "split('.')"))
    after = hook_identity("length_filter:long")
    assert after != before
    (folder / "length_filter.py").write_text(LENGTH + "\nDATA = ('words.txt',)\n")
    (folder / "words.txt").write_text("a")
    with_data = hook_identity("length_filter:long")
    (folder / "words.txt").write_text("b")
    assert len({before, after, with_data, hook_identity("length_filter:long")}) == 4


def test_packages_relative_imports_and_ours_are_followed(folder: Path) -> None:
    package = folder / "pack"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("from llm.corpus.text.words import split\n")
    (package / "rules.py").write_text(
        "import json\nfrom .deep.more import keep\nfrom . import other\n"
    )
    (package / "other.py").write_text("import numpy, counting\n")
    (package / "deep" / "more.py").write_text("def keep(texts, urls): return [1] * len(texts)\n")
    found = reach("pack.rules:keep")
    assert found.modules == (
        "counting",
        "pack.__init__",
        "pack.deep.__init__",
        "pack.deep.more",
        "pack.other",
        "pack.rules",
    )
    assert found.ours == ("llm.corpus.text.words",)
    assert found.libraries == ("numpy",)


def test_an_edited_hook_is_run_as_it_is_now(folder: Path) -> None:
    assert resolve("length_filter:long")(["one two"], [""]) == [0.2]
    # Of the same length and within the same second: a compiled file could not tell.
    edited = COUNTING.replace("text.split()", "text.title()")
    assert len(edited) == len(COUNTING)
    (folder / "counting.py").write_text(edited)
    assert resolve("length_filter:long")(["one two"], [""]) == [0.7]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:f", r"needs a file nowhere\.py: there is none in .*mine nor on Python's path"),
        ("length_filter:missing", r"has no function 'missing'; there are: long, even"),
        ("length_filter:words_", r"has no function 'words_'"),
        ("json:loads", "has the name of a module of Python itself"),
        ("broken:f", r"broken\.py:2 is not valid Python"),
        ("failing:f", r"failed at .*failing\.py:3: ZeroDivisionError"),
        ("constant:f", "is not a function but int"),
    ],
)
def test_what_cannot_be_used_is_told(folder: Path, name: str, message: str) -> None:
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    (folder / "failing.py").write_text("def f():\n    pass\nx = 1 / 0\n")
    (folder / "constant.py").write_text("f = 7\n")
    with pytest.raises(BadInput, match=message):
        resolve(name)


@pytest.mark.parametrize("name", ["f", "a:", ":f", "a b:f", "a:f()", "../a:f", "a:f:g", "a.py:f "])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"write module:function, such as"):
        HookSettings(function=name)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1.0]", "gave 1 values for 2 documents"),
        ("return ['yes', 'no']", "gave 'yes': return a number"),
        ("return [None, 1]", "gave None"),
        ("return [1e999, 1]", "gave inf"),
        ("return None", r"failed at .*hooks\.py|failed at"),
        ("return [x.nothing for x in texts]", r"failed at .*odd\.py:2: AttributeError"),
    ],
)
def test_a_hook_that_misbehaves_is_named(
    folder: Path, tmp_path: Path, context: Context, body: str, message: str
) -> None:
    (folder / "odd.py").write_text(f"def f(texts, urls):\n    {body}\n")
    with pytest.raises(BadInput, match=message):
        scores(tmp_path, context, ["one text", "another"], odd="odd:f")


def test_an_installed_package_is_used_but_not_loaded_again() -> None:
    import numpy.linalg

    assert resolve("numpy.linalg:norm") is numpy.linalg.norm
    found = reach("numpy.linalg:norm")
    assert (found.is_installed, found.modules, found.libraries) == (
        True,
        ("numpy.linalg.__init__",),
        ("numpy",),
    )


def test_what_a_hook_imports_of_ours_is_code_of_its_call(folder: Path) -> None:
    """So that a change there counts as a change of code: told, and accepted after a refactoring."""
    (folder / "with_ours.py").write_text(
        "from llm.corpus.text.words import split\n\n\ndef score(row):\n    return 1.0\n"
    )
    parts = hook_parts("with_ours:score")
    assert "llm.corpus.text.words" in parts.values()
    call = Call(HOOKS, ApplyHooks(functions={"a": "with_ours:score"}), {}, parts=parts)
    assert "llm.corpus.text.words" in call.fingerprint.modules
    assert hook_parts("length_filter:long") == {}
