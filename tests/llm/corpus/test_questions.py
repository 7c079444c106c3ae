import gzip
import inspect
import json
import os
import os.path
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
import zstandard

from llm.corpus import documents, questions
from llm.corpus.questions import QuestionSettings, derive, explanation
from llm.corpus.site import documentation
from llm.step import BadInput, Context, Reporter

FRACTION = 0.1


def rows_of(folder, name):
    text = (folder / f"{name}.jsonl").read_text(encoding="utf8")
    return [json.loads(line) for line in text.splitlines()]


def asked(rows):
    return {row["messages"][0]["content"]: row["messages"][1]["content"] for row in rows}


@pytest.fixture(scope="module")
def derived(tmp_path_factory):
    """The questions about the standard library: (result, train rows, validation rows)."""
    folder = tmp_path_factory.mktemp("derived")
    values = QuestionSettings(validation_fraction=FRACTION)
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
    assert sum(result.counts["kinds"].values()) == len(found) + result.counts["repeated"]


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
        "import sys; from pathlib import Path; from llm.corpus import questions; "
        "from llm.step import Context; all_of = questions.documentation.standard_library; "
        "questions.documentation.standard_library = lambda: all_of()[::20]; "
        "out = Path(sys.argv[1]); "
        "questions.derive(questions.QuestionSettings(), {}, Context(out=out, work=out))"
    )
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
    for name in ("train.jsonl", "validation.jsonl"):
        one, other = ((tmp_path / seed / name).read_bytes() for seed in ("1", "2"))
        assert one == other


def test_an_unknown_builtin_is_refused_with_the_one_there_is(context):
    with pytest.raises(
        BadInput, match="the only built-in questions are 'builtin:python-questions'"
    ):
        derive(QuestionSettings(data="builtin:riddles"), {}, context)


def test_an_installation_without_source_is_refused(context, monkeypatch):
    monkeypatch.setattr(questions.documentation, "standard_library", list)
    with pytest.raises(
        BadInput, match="no conversations to learn from in builtin:python-questions"
    ):
        derive(QuestionSettings(), {}, context)


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


def read(context, path, fraction=0.0):
    path = path if isinstance(path, list) else [path]
    values = QuestionSettings(data="mine.jsonl", validation_fraction=fraction)
    return questions.read(values, {"files": path}, context)


LAYOUTS = [
    {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
    {"prompt": "Why?", "response": "So."},
    {"instruction": "Why?", "input": "", "output": "So."},
    {"instruction": "Why?", "output": "So.", "more": 1},
]


@pytest.mark.parametrize("row", LAYOUTS)
@pytest.mark.parametrize(
    ("ending", "pack"),
    [("", bytes), (".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)],
)
def test_common_layouts_and_compressions_are_read(tmp_path, context, row, ending, pack):
    path = tmp_path / f"mine.jsonl{ending}"
    path.write_bytes(pack(f"{json.dumps(row)}\n\n".encode()))
    read(context, path)
    assert rows_of(context.out, "train") == [{**LAYOUTS[0], "url": ""}]


def test_an_instructions_input_follows_it(tmp_path, context):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"instruction": "Translate.", "input": "Haus", "output": "house"}))
    read(context, path)
    assert asked(rows_of(context.out, "train")) == {"Translate.\n\nHaus": "house"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no valid JSON"),
        ("[1]", "an object with messages, prompt and response, or instruction"),
        ('{"question": "x", "answer": "y"}', "found the fields question, answer; wanted are"),
        ('{"messages": "x"}', "messages must be a list, not str"),
        ('{"messages": ["x"]}', "message 0 must be an object"),
        ('{"messages": [{"role": "bot", "content": "x"}]}', "message 0: role 'bot' is not one of"),
        (
            '{"messages": [{"role": "user", "content": "x"}]}',
            "there is no answer: no message has the role",
        ),
        ('{"messages": []}', "there is no answer: no message has the role"),
        (
            '{"prompt": "x", "response": " "}',
            "message 1 (assistant): the content must be text, it is empty",
        ),
        ('{"prompt": 3, "response": "x"}', "message 0 (user): the content must be text, it is int"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wanted(tmp_path, context, line, said):
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{json.dumps(LAYOUTS[0])}\n\n{line}\n")
    with pytest.raises(BadInput, match=re.escape(f"mine.jsonl, line 3: {said}")):
        read(context, path)


def test_bytes_that_are_no_text_are_named(tmp_path, context):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b'{"prompt": "\xff", "response": "x"}\n')
    with pytest.raises(BadInput, match=r"mine\.jsonl, line 1: no UTF-8"):
        read(context, path)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_damaged_archive_is_named(tmp_path, context, ending):
    path = tmp_path / f"mine.jsonl{ending}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(BadInput, match=r"mine\.jsonl\.\w+ cannot be read after line 0"):
        read(context, path)


def test_no_conversations_are_refused(tmp_path, context):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n")
    with pytest.raises(
        BadInput, match=r"no conversations to learn from in mine\.jsonl: there are none"
    ):
        read(context, path)


def write_pairs(path, numbers):
    path.write_text(
        "\n".join(json.dumps({"prompt": f"q{n}", "response": f"a{n}"}) for n in numbers)
    )
    return path


def test_adding_and_editing_conversations_moves_no_other(tmp_path, context):
    first = write_pairs(tmp_path / "first.jsonl", range(200))
    second = write_pairs(tmp_path / "second.jsonl", range(100, 400))
    read(context, first, 0.2)
    before = {name: set(asked(rows_of(context.out, name))) for name in ("train", "validation")}
    read(context, [second, first], 0.2)
    after = {name: set(asked(rows_of(context.out, name))) for name in ("train", "validation")}
    assert before["validation"] and not after["train"] & after["validation"]
    assert all(before[name] <= after[name] for name in before)


def test_a_set_too_small_to_hold_anything_out_says_so(tmp_path, context):
    class Heard(Reporter):
        warnings = []  # noqa: RUF012

        def warning(self, message):
            self.warnings.append(message)

    context = replace(context, report=Heard())
    result = read(context, write_pairs(tmp_path / "mine.jsonl", range(3)))
    assert (result.counts["train"], result.counts["validation"]) == (3, 0)
    assert "none of 3 conversations is held out" in Heard.warnings[0]


@pytest.mark.real_data
def test_published_instructions_are_read_whole(shared_data, context):
    path = shared_data / "finetune" / "instruct" / "dolly_hhrlhf_train_small.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
    result = read(context, path)
    assert result.counts["train"] == len(lines) == 1000
    assert [row["messages"][1]["content"] for row in rows_of(context.out, "train")] == [
        line["response"] for line in lines
    ]


@pytest.mark.real_data
def test_a_layout_that_is_not_read_is_told_apart(shared_data, context):
    path = shared_data / "finetune" / "instruct" / "seed_tasks.jsonl"
    with pytest.raises(
        BadInput, match=r"seed_tasks\.jsonl, line 1: found the fields id, name, instr"
    ):
        read(context, path)
