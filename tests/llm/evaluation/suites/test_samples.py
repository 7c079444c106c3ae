"""Samples: the same settings write the same text, and questions come with their references."""

import json
from pathlib import Path

import pytest
import torch

from llm.evaluation.suite import Measure
from llm.evaluation.suites.samples import SampleSettings, first_turn, measure
from llm.models import folder as model_folder
from llm.step import Context
from tests.examples import write_conversations
from tests.llm.evaluation.models import write_model
from tests.llm.evaluation.suites.test_answers import PAIRS, write_questions


def written(folder: Path, inputs: dict, **fields: object) -> list:
    context = Context(out=folder, work=folder)
    folder.mkdir()
    tasks = ("ask",) if "data" in inputs else ()
    settings = SampleSettings(**fields)
    measure(Measure(settings=settings, validation_fraction=0.1, tasks=tasks), inputs, context)
    assert json.loads((folder / "metrics.json").read_text())["figures"] == {}
    return json.loads((folder / "samples.json").read_text())


def test_the_same_seed_writes_the_same_and_another_something_else(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    inputs = {"model": [tmp_path / "model"]}
    one, two, other = (
        written(tmp_path / name, inputs, seed=seed, temperature=1.0, top_k=None)
        for name, seed in (("a", 1), ("b", 1), ("c", 100))
    )
    assert one == two
    assert [sample["text"] for sample in one] != [sample["text"] for sample in other]


def test_at_temperature_zero_the_text_is_the_likeliest_token_each_time(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    prompts, count = ("the ",), 6
    result = written(
        tmp_path / "a",
        {"model": [tmp_path / "model"]},
        prompts=prompts,
        temperature=0.0,
        max_new_tokens=count,
    )
    _, tokenizer = model_folder.load(tmp_path / "model" / "model")
    ids = [0, *tokenizer.encode(prompts[0]).ids]
    start = len(ids)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    [sample] = result
    assert sample["text"] == tokenizer.decode(ids[start : start + sample["tokens"]])


def test_held_out_questions_are_asked_with_the_right_answer_beside(tmp_path: Path) -> None:
    write_model(tmp_path / "tuned", seed=2)
    inputs = {
        "model": [tmp_path / "tuned"],
        "data": [write_questions(tmp_path / "data")],
    }
    fields = {"prompts": (), "questions": ("Why?",), "held_out_questions": 2, "max_new_tokens": 5}
    result = written(tmp_path / "a", inputs, **fields)
    found = [(sample["prompt"], sample.get("reference")) for sample in result]
    assert found == [("Why?", None), *PAIRS[:2]]
    assert all(sample["tokens"] <= 5 for sample in result)


def test_a_vocabulary_without_tokens_for_chat_is_sampled_from(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    path = tmp_path / "model" / "model" / "tokenizer.json"
    path.write_text(path.read_text().replace("<|im_", "<|no_"))
    result = written(tmp_path / "a", {"model": [tmp_path / "model"]}, max_new_tokens=3)
    assert [sample["prompt"] for sample in result] == ["Return ", "The ", "If "]


def test_a_held_out_conversation_of_the_assistant_alone_is_answered(tmp_path: Path) -> None:
    write_model(tmp_path / "tuned", seed=2)
    data = write_questions(tmp_path / "data")
    alone = [{"role": "assistant", "content": "Good morning."}]
    write_conversations(data / "validation.arrow", [alone])
    inputs = {"model": [tmp_path / "tuned"], "data": [data]}
    fields = {"prompts": (), "questions": (), "held_out_questions": 1, "max_new_tokens": 5}
    [sample] = written(tmp_path / "a", inputs, **fields)
    assert (sample["prompt"], sample["reference"]) == ("", "Good morning.")


@pytest.mark.parametrize(
    ("roles", "asked", "reference"),
    [
        ("ua", 1, "1"),
        ("sua", 2, "2"),
        ("aua", 2, "2"),  # the greeting is what stands before the question
        ("a", 0, "0"),
        ("sa", 1, "1"),
    ],
)
def test_a_conversation_is_cut_before_the_first_answer_to_a_user(
    roles: str, asked: int, reference: str
) -> None:
    names = {"u": "user", "a": "assistant", "s": "system"}
    messages = [{"role": names[role], "content": str(at)} for at, role in enumerate(roles)]
    before, answer = first_turn(messages)
    assert (len(before), answer) == (asked, {"reference": reference})
