"""Conversations as tokens: ChatML, the same ids here and from the template that the model carries.

    <|im_start|>user
    What does os.path.join do?<|im_end|>
    <|im_start|>assistant
    Join two or more pathname components.<|im_end|>

White space around a message is dropped, so that a message never melts into the line end before it.
"""

from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer

from llm.tokens.plain_text import encode_text
from llm.tokens.special import MESSAGE_END, MESSAGE_START, special_ids

ROLES = ("system", "user", "assistant")

# What `tokenizer_config.json` carries (Jinja, as transformers' apply_chat_template reads it).
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' }}"
    "{{ message.content | trim }}"
    "{{ '<|im_end|>' }}{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def encode_messages(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], ask: bool = False
) -> tuple[list[int], list[bool]]:
    """Encode messages (role, content): their ids, and which of them a model should learn to say.

    Learned are the assistant's words and the <|im_end|> that closes them. `ask` adds the start of
    an answer for the model to go on with. Special tokens spelled out inside a message stay text:
    no message can end itself or speak for another. Raises ValueError naming the bad message.
    """
    start, end = special_ids(tokenizer, [MESSAGE_START, MESSAGE_END]).values()
    line_end = encode_text(tokenizer, "\n").ids
    ids: list[int] = []
    learn: list[bool] = []
    for number, message in enumerate(messages):
        role, content = _read(number, message)
        header = f"{role}\n"
        encoding = encode_text(tokenizer, header + content)
        answers = role == "assistant"
        ids += [start, *encoding.ids, end, *line_end]
        learn.append(False)
        learn += [answers and begin >= len(header) for begin, _ in encoding.offsets]
        learn.append(answers)
        learn += [False] * len(line_end)
    if ask:
        opening = [start, *encode_text(tokenizer, "assistant\n").ids]
        ids += opening
        learn += [False] * len(opening)
    return ids, learn


def _read(number: int, message: Mapping[str, str]) -> tuple[str, str]:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise ValueError(f"message {number}: role {role!r} is not one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise ValueError(f"message {number}: content must be text, not {type(content).__name__}")
    return role, content.strip()
