import inspect
import json
import os
import os.path
import re
import subprocess
import sys
from collections import Counter

import pytest

from llm.corpus import documents
from llm.corpus.site import documentation
from llm.examples import questions
from llm.examples.questions import derive, explanation
from llm.examples.settings import Column, ExampleSettings
from llm.step import BadInput, Context
from tests.examples import rows_of

FRACTION = 0.1


def asked(rows):
    return {row["messages"][0]["content"]: row["messages"][1]["content"] for row in rows}


@pytest.fixture(scope="module")
def derived(tmp_path_factory):
    """The questions about the standard library: (result, train rows, validation rows)."""
    folder = tmp_path_factory.mktemp("derived")
    values = ExampleSettings(validation_fraction=FRACTION)
    result = derive(values, {}, Context(out=folder, work=folder))
    return result, rows_of(folder, "train"), rows_of(folder, "validation")


@pytest.fixture(scope="module")
def answers(derived):
    _, train, validation = derived
    return asked(train) | asked(validation)


def test_there_are_several_thousand_different_questions(derived):
    result, train, validation = derived
    found = Counter(row["messages"][0]["content"] for row in [*train, *validation])
    assert len(found) > 5000
    assert set(found.values()) == {1}
    assert len(train) == result.counts["train"]
    assert len(validation) == result.counts["validation"] > 100
    assert sum(result.counts["kinds"].values()) == len(found) + result.counts["dropped"]["repeated"]
    dropped = sum(result.counts["dropped"].values())
    assert result.counts["read"] == len(train) + len(validation) + dropped


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("os.path.join", os.path.join),
        ("json.dumps", json.dumps),
        ("inspect.unwrap", inspect.unwrap),
    ],
)
def test_answers_say_what_the_interpreter_says_of_itself(answers, name, item):
    said = " ".join(inspect.getdoc(item).split())
    assert said.startswith(answers[f"What does {name} do?"])
    listed = answers[f"What are the parameters of {name}?"]
    assert listed.startswith(f"{name} takes ")
    names = re.findall(r"[a-z_]\w*", re.sub(r"\(.*?\)", "", listed.partition(" takes ")[2]))
    assert [word for word in names if word != "and"] == list(inspect.signature(item).parameters)


def test_questions_read_as_a_person_would_ask_them(answers):
    assert answers["What is the module json for?"].startswith("JSON (JavaScript Object Notation)")
    assert answers["What are the parameters of shutil.move?"] == (
        "shutil.move takes src, dst and copy_function (copy2 by default)."
    )
    assert answers["What are the parameters of os.path.join?"] == "os.path.join takes a and *p."
    # self is not passed by anybody
    assert answers["What are the parameters of pathlib.Path.samefile?"] == (
        "pathlib.Path.samefile takes other_path."
    )
    assert answers["Which functions does the module json have?"] == (
        "The module json has dump, dumps, load and loads."
    )


def test_answers_are_short_and_whole(answers):
    assert max(map(len, answers.values())) <= 400
    for answer in answers.values():
        assert answer == answer.strip() and "\n" not in answer
        assert not answer.endswith((":", ","))
        assert len(answer.split()) >= 3


def test_pages_are_held_out_as_their_documents_are(derived):
    _, train, validation = derived
    for rows, held_out in ((train, False), (validation, True)):
        for url in {row["url"] for row in rows}:
            assert documents.validation(documents.hash64(url), FRACTION) == held_out
    urls = {source.url for source in documentation.standard_library()}
    assert {row["url"] for row in [*train, *validation]} <= urls


def test_no_held_out_answer_is_in_training(derived):
    _, train, validation = derived
    assert not set(asked(train).values()) & set(asked(validation).values())


def test_the_same_installation_gives_the_same_files(tmp_path, monkeypatch):
    code = (
        "import sys; from pathlib import Path; from llm.examples import questions; "
        "from llm.step import Context; all_of = questions.documentation.standard_library; "
        "questions.documentation.standard_library = lambda: all_of()[::20]; "
        "out = Path(sys.argv[1]); "
        "questions.derive(questions.ExampleSettings(), {}, Context(out=out, work=out))"
    )
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
    for name in ("train.arrow", "validation.arrow"):
        one, other = ((tmp_path / seed / name).read_bytes() for seed in ("1", "2"))
        assert one == other


def test_an_unknown_builtin_is_refused_with_the_one_there_is(context):
    with pytest.raises(
        BadInput, match="the only built-in questions are 'builtin:python-questions'"
    ):
        derive(ExampleSettings(data="builtin:riddles"), {}, context)


def test_a_task_that_learns_from_other_columns_is_told_of_it(context):
    values = ExampleSettings(columns=(Column(name="text", type="text"),))
    with pytest.raises(BadInput, match="has conversations, and the task learns from text"):
        derive(values, {}, context)


def test_an_installation_without_source_is_refused(context, monkeypatch):
    monkeypatch.setattr(questions.documentation, "standard_library", list)
    with pytest.raises(BadInput, match="no examples to learn from in builtin:python-questions"):
        derive(ExampleSettings(), {}, context)


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("Join two parts.\n\nMore.", "Join two parts."),
        ("f(a, b) -> c\n\nAdd a\nto b.", "Add a to b."),
        ("Title\n=====\n\nIt explains a thing.", "It explains a thing."),
        ("Do a thing.\n- one: first\n- two: second", "Do a thing."),
        ("Do a thing.\nArgs:\n    a: first", "Do a thing."),
        ("Do a thing. It takes these:", "Do a thing."),
        (
            'He said "do a thing." Then "another one." ' + "X" * 30,
            'He said "do a thing." Then "another one."',
        ),
        ("Constructor.", ""),
        ("x" * 100, ""),
        ("", ""),
    ],
)
def test_explanations_are_whole_sentences_of_the_first_paragraph(doc, expected):
    assert explanation(doc, "f", limit=60) == expected
