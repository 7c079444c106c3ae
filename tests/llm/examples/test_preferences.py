"""Preferences in the layouts that data sets have, and what is wrong with others told."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm.examples import files
from llm.examples.settings import PREFERENCES, ExampleSettings
from llm.examples.shards import Shard
from llm.step import BadInput, Context


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = [user("Which is the best tea?")]
WANTED = (ASKED, [said("Green tea.")], [said("None at all.")])
LAYOUTS: dict[str, dict[str, Any]] = {
    "texts": {
        "prompt": "Which is the best tea?",
        "chosen": "Green tea.",
        "rejected": "None at all.",
    },
    "a usual name of the prompt": {
        "question": "Which is the best tea?",
        "chosen": "Green tea.",
        "rejected": "None at all.",
    },
    "messages": {"prompt": ASKED, "chosen": WANTED[1], "rejected": WANTED[2]},
    "the prompt inside both": {"chosen": [*ASKED, *WANTED[1]], "rejected": [*ASKED, *WANTED[2]]},
    "and beside them, as UltraFeedback has it": {
        "prompt": "Which is the best tea?",
        "chosen": [*ASKED, *WANTED[1]],
        "rejected": [*ASKED, *WANTED[2]],
    },
    "turns in one text, as HH-RLHF has it": {
        "chosen": "\n\nHuman: Which is the best tea?\n\nAssistant: Green tea.",
        "rejected": "\n\nHuman: Which is the best tea?\n\nAssistant: None at all.",
    },
}


def read(context: Context, path: Path, rows: list[Any], **more: Any) -> list[tuple[Any, ...]]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = ExampleSettings(data=str(path), columns=PREFERENCES, validation_fraction=0.0, **more)
    files.read(values, {"files": [path]}, context)
    return [one.cells for one in Shard.open(context.out / "train.arrow").examples(PREFERENCES)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_preference_is_read_in_every_layout(
    layout: str, context: Context, tmp_path: Path
) -> None:
    assert read(context, tmp_path / "pairs.jsonl", [LAYOUTS[layout]]) == [WANTED]


def test_what_both_sides_share_is_the_prompt_with_answers_and_system_prompts(
    context: Context, tmp_path: Path
) -> None:
    shared = [SYSTEM, user("Hello?"), said("Yes?"), user("Tea?")]
    row = {"chosen": [*shared, said("Yes, please.")], "rejected": [*shared, said("No.")]}
    [(asked, chosen, rejected)] = read(context, tmp_path / "pairs.jsonl", [row])
    assert (asked, chosen, rejected) == (shared, [said("Yes, please.")], [said("No.")])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b "}, "chosen and rejected are the same"),
        (
            {"prompt": "a", "chosen": "b", "rejected": " "},
            "rejected must be text or messages, it is",
        ),
        ({"prompt": "a", "chosen": "b"}, "wanted is rejected"),
        ({"chosen": "b", "rejected": "c"}, "there is no prompt: name its field"),
        (
            {"prompt": [user("a"), said("b")], "chosen": "c", "rejected": "d"},
            "the prompt ends with an answer",
        ),
        (
            {"prompt": [{"role": "boss", "content": "a"}], "chosen": "c", "rejected": "d"},
            "role 'boss' is not one of system, user, assistant",
        ),
        (
            {"prompt": "z", "chosen": [user("a"), said("b")], "rejected": [user("a"), said("c")]},
            "do not both begin with the prompt",
        ),
        (
            {"chosen": [user("a"), user("b")], "rejected": [user("a"), said("c")]},
            "chosen does not end with an answer",
        ),
        ({"prompt": "a", "chosen": 7, "rejected": "d"}, "chosen must be text or messages, not int"),
    ],
)
def test_a_row_that_does_not_fit_is_told_by_line(
    row: dict[str, Any], message: str, context: Context, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=message) as error:
        read(context, tmp_path / "pairs.jsonl", [LAYOUTS["texts"], row])
    assert "pairs.jsonl" in str(error.value) and "line 2" in str(error.value)
