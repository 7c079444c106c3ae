"""Conversations in the layouts that are common for them."""

from collections.abc import Mapping
from typing import Any

from llm.step import BadInput
from llm.tokens.special import SPEAKERS

Messages = list[dict[str, str]]

LAYOUTS = "messages, prompt and response, or instruction, input and output"


def read_messages(row: Mapping[str, Any]) -> Messages:
    """The conversation of a row, whichever of the layouts it has. Raises BadInput."""
    messages = _messages(row)
    _check(messages)
    return messages


def _messages(row: Mapping[str, Any]) -> Messages:
    if "messages" in row:
        if not isinstance(row["messages"], list):
            raise BadInput(f"messages must be a list, not {type(row['messages']).__name__}")
        for place, message in enumerate(row["messages"]):
            if not isinstance(message, dict):
                raise BadInput(f"message {place} must be an object with role and content")
        return [
            {"role": message.get("role"), "content": message.get("content")}
            for message in row["messages"]
        ]
    if "prompt" in row and "response" in row:
        return _pair(row["prompt"], row["response"])
    if "instruction" in row and "output" in row:
        question, given = row["instruction"], row.get("input")
        if isinstance(given, str) and given.strip() and isinstance(question, str):
            question = f"{question.rstrip()}\n\n{given}"
        return _pair(question, row["output"])
    raise BadInput(f"found the fields {', '.join(row) or 'none'}; wanted are {LAYOUTS}")


def _pair(question: Any, answer: Any) -> Messages:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _check(messages: Messages) -> None:
    for place, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role not in SPEAKERS:
            raise BadInput(f"message {place}: role {role!r} is not one of {', '.join(SPEAKERS)}")
        if not isinstance(content, str) or not content.strip():
            shown = "empty" if isinstance(content, str) else type(content).__name__
            raise BadInput(f"message {place} ({role}): the content must be text, it is {shown}")
    if not any(message["role"] == "assistant" for message in messages):
        raise BadInput("there is no answer: no message has the role assistant")
