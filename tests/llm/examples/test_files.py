"""Examples of the user's own: read strictly, split once, and no question or answer on both sides."""

import csv
import gzip
import json
import re
from dataclasses import replace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llm.examples import files
from llm.examples.settings import CONVERSATIONS, Column, ExampleSettings
from llm.examples.shards import Shard, place
from llm.step import BadInput, Reporter
from tests.examples import rows_of


def asked(rows):
    return {row["messages"][0]["content"]: row["messages"][1]["content"] for row in rows}


def read(context, path, fraction=0.0):
    path = path if isinstance(path, list) else [path]
    values = ExampleSettings(data="mine.jsonl", validation_fraction=fraction)
    return files.read(values, {"files": path}, context)


LAYOUTS = [
    {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
    {"prompt": "Why?", "response": "So."},
    {"instruction": "Why?", "input": "", "output": "So."},
    {"instruction": "Why?", "output": "So.", "more": 1},
    {"prompt": "Why?", "completion": "So."},
    {
        "prompt": [{"role": "user", "content": "Why?"}],
        "completion": [{"role": "assistant", "content": "So."}],
    },
    {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
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
    [example] = Shard.open(context.out / "train.arrow").examples(CONVERSATIONS)
    assert example.cells[0] == LAYOUTS[0]["messages"]


def test_an_instructions_input_follows_it(tmp_path, context):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"instruction": "Translate.", "input": "Haus", "output": "house"}))
    read(context, path)
    assert asked(rows_of(context.out, "train")) == {"Translate.\n\nHaus": "house"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no valid JSON"),
        ("[1]", "the row must be an object with fields, not list"),
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
    with pytest.raises(
        BadInput, match=r"mine\.jsonl, line 1: not UTF-8 .*; save the file as UTF-8$"
    ):
        read(context, path)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_damaged_archive_is_named(tmp_path, context, ending):
    path = tmp_path / f"mine.jsonl{ending}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(BadInput, match=r"mine\.jsonl\.\w+ cannot be read \("):
        read(context, path)


def test_an_archive_that_is_cut_short_is_named_with_the_last_line(tmp_path, context):
    path = tmp_path / "mine.jsonl.gz"
    whole = gzip.compress(f"{json.dumps(LAYOUTS[0])}\n".encode() * 1000, mtime=0)
    path.write_bytes(whole[:-8])
    with pytest.raises(BadInput, match=r"mine\.jsonl\.gz cannot be read after line 1000 \("):
        read(context, path)


def test_no_conversations_are_refused(tmp_path, context):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n")
    with pytest.raises(BadInput, match=r"no examples to learn from in mine\.jsonl: there are none"):
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
    assert "none of 3 examples is held out" in Heard.warnings[0]


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


PAIRS = [{"prompt": f"q{n}", "response": f"007, or {n}\nlines"} for n in range(30)]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet", "txt"])
def test_each_kind_of_file_gives_the_same_examples(tmp_path, ending):
    path = tmp_path / f"mine.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(PAIRS), path)
    elif ending == "json":
        path.write_text(json.dumps(PAIRS, indent=1))
    elif ending in ("csv", "tsv"):
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(
                stream, ["prompt", "response"], delimiter="\t" if ending == "tsv" else ","
            )
            writer.writeheader()
            writer.writerows(PAIRS)
    else:
        path.write_text("\n".join(map(json.dumps, PAIRS)))
    found = [one.cells[0] for one in files.read_file(path, ExampleSettings())]
    assert [[one["content"] for one in messages] for messages in found] == [
        [pair["prompt"], pair["response"]] for pair in PAIRS
    ]


def test_json_with_lines_after_all_is_read_by_line(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text("\n".join(map(json.dumps, PAIRS)) + '\n{"prompt": "x"}')
    with pytest.raises(BadInput, match=r"mine\.json, item 31: found the fields prompt; wanted"):
        list(files.read_file(path, ExampleSettings()))


def test_other_columns_are_read_strictly(tmp_path, context):
    """What another reader would take for a number or a missing value is text here."""
    path = tmp_path / "mine.csv"
    path.write_text("text,label\nNA,007\nnull,1e5\nnan,true\n")
    columns = (Column(name="text", type="text"), Column(name="label", type="text", answer=True))
    files.read(ExampleSettings(columns=columns, validation_fraction=0), {"files": [path]}, context)
    assert rows_of(context.out, "train") == [
        {"text": "NA", "label": "007", "url": ""},
        {"text": "null", "label": "1e5", "url": ""},
        {"text": "nan", "label": "true", "url": ""},
    ]
    path.write_text("text,label\na,\n")
    with pytest.raises(BadInput, match=r"mine\.csv, line 2: label must be text, it is empty"):
        list(files.read_file(path, ExampleSettings(columns=columns)))
    path = tmp_path / "mine.jsonl"
    for row, said in (({"text": 1, "label": "x"}, "text must be text, not int"),
                      ({"text": "x"}, "found the fields text; wanted is label")):  # fmt: skip
        path.write_text(json.dumps(row))
        with pytest.raises(BadInput, match=rf"mine\.jsonl, line 1: {said}"):
            list(files.read_file(path, ExampleSettings(columns=columns)))


def test_shards_open_in_datasets_and_keep_file_and_line(tmp_path, context):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n\n".join(map(json.dumps, PAIRS)))
    read(context, path, 0.2)
    shards = {
        split: Shard.open(context.out / f"{split}.arrow") for split in ("train", "validation")
    }
    lines = [one.line for shard in shards.values() for one in shard.examples(CONVERSATIONS)]
    assert sorted(lines) == list(range(1, 60, 2))
    first = next(shards["train"].examples(CONVERSATIONS))
    assert place(first) == f"mine.jsonl, line {first.line}"
    theirs = datasets.Dataset.from_file(str(context.out / "validation.arrow"))
    assert theirs["messages"][:] == [
        [{**message, "train": None} for message in one.cells[0]]
        for one in shards["validation"].examples(CONVERSATIONS)
    ]
    assert 0 < len(theirs) == len(shards["validation"])


def test_where_a_row_stands_is_no_part_of_the_content(tmp_path, context):
    found = set()
    for name, between in (("a.jsonl", "\n"), ("b.jsonl", "\n\n\n")):
        (tmp_path / name).write_text(between.join(map(json.dumps, PAIRS)))
        found.add(read(context, tmp_path / name, 0.2).content)
    assert len(found) == 1
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, PAIRS[1:])))
    assert read(context, tmp_path / "a.jsonl", 0.2).content not in found


def on_both_sides(answers, questions):
    """Rows by address, half of which are held out, with answers and questions by number."""
    return [
        {"prompt": questions(n), "response": answers(n), "url": f"http://a.test/{n}"}
        for n in range(200)
    ]


@pytest.mark.parametrize(
    ("rows", "all_kept"),
    [
        (on_both_sides("It is number {}.".format, "What is {}?".format), True),
        (on_both_sides(lambda n: "It is always THIS.", "What is {}?".format), False),
        (on_both_sides(lambda n: "It is  always this." if n % 2 else "it is always this.",
                       "What is {}?".format), False),
        (on_both_sides(lambda n: "Yes.", "Is it {}?".format), True),
        (on_both_sides("It is number {}.".format, lambda n: "What is it called?"), False),
        (on_both_sides("It is number {}.".format, lambda n: "Hello!"), True),
    ],
    ids=["all different", "one answer", "one but for case", "a word", "one question", "a greeting"],
)  # fmt: skip
def test_nothing_held_out_is_known_from_training(tmp_path, context, rows, all_kept):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    counts = read(context, path, 0.5).counts
    assert (
        counts["read"]
        == 200
        == sum(counts[name] for name in ("train", "validation")) + sum(counts["dropped"].values())
    )
    assert (counts["validation"] > 0) == all_kept == (not counts["dropped"])


def test_many_examples_are_written_in_batches_and_read_again(tmp_path, context):
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": f"q{n}", "response": f"Answer {n} " * (n % 50) + "."} for n in range(10_000)]
    path.write_text("\n".join(map(json.dumps, rows)))
    read(context, path)
    shard = Shard.open(context.out / "train.arrow")
    assert len(shard.batches) > 1
    assert [one.cells[0][1]["content"] for one in shard.examples(CONVERSATIONS)] == [
        row["response"] for row in rows
    ]


def test_the_addresses_of_a_file_are_found_between_bad_rows(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"url": "https://a.org/"}\n{broken\n[1]\n{"url": 3}\n{"url": "https://b.org/"}'
    )
    assert list(files.addresses(path)) == ["https://a.org/", "https://b.org/"]
