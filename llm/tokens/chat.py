"""Conversations as tokens: ChatML, the same ids here and from the template that the model carries.

    <|im_start|>user
    What does os.path.join do?<|im_end|>
    <|im_start|>assistant
    Join two or more pathname components.<|im_end|>

White space around a message is dropped, so that a message never melts into the line end before it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer

from llm.tokens.plain_text import encode_text, encode_texts
from llm.tokens.special import MESSAGE_END, MESSAGE_START, SPEAKERS, special_ids

Messages = Sequence[Mapping[str, Any]]

BATCH_CHARACTERS = 200_000
"""What is encoded at once: an encoding holds some hundred bytes a token."""

# What `tokenizer_config.json` carries (Jinja, as transformers' apply_chat_template reads it).
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' }}"
    "{{ message.content | trim }}"
    "{{ '<|im_end|>' }}{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class BadConversation(ValueError):
    """A conversation that cannot be encoded. number: which of those given, from 0."""

    def __init__(self, number: int, said: str) -> None:
        super().__init__(said)
        self.number = number


class _Message(NamedTuple):
    role: str
    text: str
    learned: bool


def encode_messages(
    tokenizer: Tokenizer, messages: Messages, ask: bool = False
) -> tuple[list[int], list[bool]]:
    """Encode messages (role, content): their ids, and which of them a model should learn to say.

    Learned are the assistant's words and the <|im_end|> that closes them, but of a message whose `train`
    is false; of others, those whose `train` is true. `ask` adds the start of
    an answer for the model to go on with. Special tokens spelled out inside a message stay text:
    no message can end itself or speak for another. Raises BadConversation naming the bad message.
    """
    [(ids, learn)] = encode_conversations(tokenizer, [messages])
    if ask:
        [start] = special_ids(tokenizer, [MESSAGE_START]).values()
        opening = [start, *encode_text(inside(tokenizer), "assistant\n").ids]
        ids += opening
        learn += [False] * len(opening)
    return ids, learn


def encode_conversations(
    tokenizer: Tokenizer, conversations: Iterable[Messages]
) -> Iterator[tuple[list[int], list[bool]]]:
    """`encode_messages` of each conversation in turn, encoded many at a time."""
    start, end = special_ids(tokenizer, [MESSAGE_START, MESSAGE_END]).values()
    tokenizer = inside(tokenizer)
    line_end = encode_text(tokenizer, "\n").ids
    for batch in _batches(conversations):
        encodings = iter(
            encode_texts(tokenizer, [f"{one.role}\n{one.text}" for each in batch for one in each])
        )
        for each in batch:
            ids: list[int] = []
            learn: list[bool] = []
            for role, _, answers in each:
                encoding = next(encodings)
                found = encoding.ids
                ids += [start, *found, end, *line_end]
                learn.append(False)
                if answers:
                    # Some tokenizers have tokens of a line end and a letter: those are a part of the answer.
                    learn += [stop > len(role) + 1 for _, stop in encoding.offsets]
                else:
                    learn += [False] * len(found)
                learn.append(answers)
                learn += [False] * len(line_end)
            yield ids, learn


_inside: WeakKeyDictionary[Tokenizer, tuple[int, Tokenizer | None]] = WeakKeyDictionary()


def inside(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer as it reads what stands behind a special token.

    A SentencePiece vocabulary may put a blank before the first text alone (`prepend_scheme: first`, as
    Mistral's do): messages, each of which is encoded by itself, are none.
    """
    size = tokenizer.get_vocab_size()
    if tokenizer not in _inside or _inside[tokenizer][0] != size:
        fields = json.loads(tokenizer.to_str())
        before = fields["pre_tokenizer"] or {}
        parts = [before, *before.get("pretokenizers", ())]
        firsts = [one for one in parts if one.get("prepend_scheme") == "first"]
        for one in firsts:
            one["prepend_scheme"] = "never"
        # A tokenizer that held itself would never be let go of.
        made = Tokenizer.from_str(json.dumps(fields)) if firsts else None
        _inside[tokenizer] = size, made
    return _inside[tokenizer][1] or tokenizer


def _batches(conversations: Iterable[Messages]) -> Iterator[list[list[_Message]]]:
    """Some BATCH_CHARACTERS of conversations at a time, each a list of messages."""
    batch: list[list[_Message]] = []
    size = 0
    for number, messages in enumerate(conversations):
        try:
            batch.append([_read(place, message) for place, message in enumerate(messages)])
        except ValueError as error:
            raise BadConversation(number, str(error)) from None
        size += sum(len(one.text) for one in batch[-1])
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(number: int, message: Mapping[str, Any]) -> _Message:
    role, content = message.get("role"), message.get("content")
    if role not in SPEAKERS:
        raise ValueError(f"message {number}: role {role!r} is not one of {', '.join(SPEAKERS)}")
    if not isinstance(content, str):
        raise ValueError(f"message {number}: content must be text, not {type(content).__name__}")
    return _Message(role, content.strip(), bool(message.get("train", role == "assistant")))
