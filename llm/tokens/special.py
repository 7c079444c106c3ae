"""The tokens that no text produces: their spelling and their ids, the same in every vocabulary."""

from collections.abc import Sequence
from typing import Any

END_OF_TEXT = "<|endoftext|>"
MESSAGE_START = "<|im_start|>"
MESSAGE_END = "<|im_end|>"
PADDING = "<|pad|>"

# Only in vocabularies that reserve them: for objectives that hide tokens, and for those that hide spans
# of them, each behind a sentinel of its own (T5, arXiv 1910.10683).
MASK = "<|mask|>"
CLASSIFY = "<|cls|>"
SEPARATOR = "<|sep|>"
SPANS = 64
SENTINELS = tuple(f"<|span_{number}|>" for number in range(SPANS))

SPECIAL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END, PADDING)
END_OF_TEXT_ID, MESSAGE_START_ID, MESSAGE_END_ID, PADDING_ID = range(len(SPECIAL_TOKENS))


def special_ids(tokenizer: Any, names: Sequence[str] = SPECIAL_TOKENS) -> dict[str, int]:
    """The ids of special tokens in a `tokenizers.Tokenizer`; ValueError names those it lacks."""
    found = {name: tokenizer.token_to_id(name) for name in names}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        raise ValueError(
            f"the tokenizer has no token {', '.join(missing)}: add it as a special token, "
            f"or train a tokenizer with `tokenizer: {{type: bpe}}`"
        )
    return found


def read_special_tokens_as_text(tokenizer: Any) -> None:
    """Make a `tokenizers.Tokenizer` encode a document's literal `<|endoftext|>` as plain characters.

    Text from outside must never be able to end a document or a message. Not saved with the
    tokenizer, so it is set wherever text is encoded.
    """
    tokenizer.encode_special_tokens = True
