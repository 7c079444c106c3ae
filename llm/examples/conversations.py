"""Conversations in the layouts that are common for them."""

from collections.abc import Mapping
from typing import Any

from llm.step import BadInput
from llm.tokens.special import SPEAKERS

Messages = list[dict[str, Any]]
"""Messages with role, content, and train where the user said whether it is learned."""

LAYOUTS = (
    "messages, conversations (from, value), prompt and response or completion, or instruction, input "
    "and output"
)
SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
SHAREGPT |= {"chatgpt": "assistant", "model": "assistant", "system": "system"}


def read_messages(row: Mapping[Any, Any]) -> Messages:
    """The conversation of a row, whichever of the layouts it has. Raises BadInput."""
    messages = _messages(row)
    _check(messages)
    return messages


def _messages(row: Mapping[Any, Any]) -> Messages:
    if "messages" in row:
        return read_list("messages", row["messages"])
    if "conversations" in row:
        return read_list("conversations", row["conversations"])
    for answer in ("response", "completion"):
        if "prompt" in row and answer in row:
            prompt, said = row["prompt"], row[answer]
            if isinstance(prompt, list) and isinstance(said, list):
                return [*read_list("prompt", prompt), *read_list(answer, said)]
            return _pair(prompt, said)
    if "instruction" in row and "output" in row:
        question, given = row["instruction"], row.get("input")
        if isinstance(given, str) and given.strip() and isinstance(question, str):
            question = f"{question.rstrip()}\n\n{given}"
        return _pair(question, row["output"])
    raise BadInput(f"found the fields {', '.join(map(str, row)) or 'none'}; wanted are {LAYOUTS}")


def read_list(field: str, found: Any) -> Messages:
    """The messages of a list, their contents not yet looked at. Raises BadInput."""
    if not isinstance(found, list):
        raise BadInput(f"{field} must be a list, not {type(found).__name__}")
    return [_message(place, message) for place, message in enumerate(found)]


def _message(place: int, message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise BadInput(f"message {place} must be an object with role and content")
    if "from" in message and "role" not in message:
        said = message["from"]
        role = SHAREGPT.get(said, said) if isinstance(said, str) else said
        found = {"role": role, "content": message.get("value")}
    else:
        found = {"role": message.get("role"), "content": message.get("content")}
    train = message.get("train")
    if train is None:
        return found
    if not isinstance(train, bool):
        raise BadInput(f"message {place}: train must be true or false, it is {train!r:.40}")
    return {**found, "train": train}


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
