"""Preferences: a prompt with the answer that was chosen and one that was rejected, in the usual layouts.

- prompt, chosen and rejected, each a text or messages;
- chosen and rejected that both begin with the prompt, as messages (UltraFeedback's) or as one text with
  turns that begin with `Human:` and `Assistant:` (Anthropic's HH-RLHF).
"""

import re
from typing import Any

from llm.examples.conversations import Messages
from llm.step import BadInput
from llm.tokens.special import SPEAKERS

Turns = str | Messages

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def settled(prompt: Turns, chosen: Turns, rejected: Turns) -> tuple[Messages, Messages, Messages]:
    """What is asked, and the two answers to it, each as messages. Raises BadInput.

    prompt: "" where chosen and rejected have it inside.
    """
    sides = [_turns(one, "assistant") for one in (chosen, rejected)]
    asked = _turns(prompt, "user") if prompt else []
    if all(side and side[0]["role"] != "assistant" for side in sides):
        shared = 0
        for one, other in zip(*sides, strict=False):
            if one != other:
                break
            shared += 1
        inside = sides[0][:shared]
        if not _contains(inside, asked):
            raise BadInput("chosen and rejected do not both begin with the prompt")
        asked, sides = inside, [side[shared:] for side in sides]
    _check(asked, *sides)
    return asked, sides[0], sides[1]


def _turns(given: Turns, role: str) -> Messages:
    """Messages; of a text, its turns where it has some, else one by `role`."""
    if not isinstance(given, str):
        return given
    parts = _TURN.split(given)
    if len(parts) > 1 and not parts[0].strip():
        pairs = zip(parts[1::2], parts[2::2], strict=True)
        return [{"role": _ROLES[who], "content": said} for who, said in pairs]
    return [{"role": role, "content": given}]


def _contains(inside: Messages, asked: Messages) -> bool:
    """Whether all that is asked stands in what both sides begin with."""
    there = [_plain(one) for one in inside]
    return all(_plain(one) in there for one in asked)


def _plain(message: dict[str, Any]) -> tuple[Any, str]:
    return message["role"], str(message["content"]).strip()


def _check(asked: Messages, chosen: Messages, rejected: Messages) -> None:
    if not asked:
        raise BadInput(
            "there is no prompt: name its field, as in columns: {prompt: FIELD}, or give chosen and rejected "
            "as messages that begin with it"
        )
    for name, part in (("prompt", asked), ("chosen", chosen), ("rejected", rejected)):
        for place, message in enumerate(part):
            role, content = message["role"], message["content"]
            if role not in SPEAKERS:
                raise BadInput(
                    f"{name}, message {place}: role {role!r} is not one of {', '.join(SPEAKERS)}"
                )
            if not isinstance(content, str) or not content.strip():
                shown = "empty" if isinstance(content, str) else type(content).__name__
                raise BadInput(
                    f"{name}, message {place} ({role}): the content must be text, it is {shown}"
                )
    if asked[-1]["role"] == "assistant":
        raise BadInput("the prompt ends with an answer: nothing is asked")
    for name, part in (("chosen", chosen), ("rejected", rejected)):
        if not part or part[-1]["role"] != "assistant":
            raise BadInput(f"{name} does not end with an answer")
    if list(map(_plain, chosen)) == list(map(_plain, rejected)):
        raise BadInput("chosen and rejected are the same")
