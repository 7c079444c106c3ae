"""The tokens that no text produces: their spelling and their ids, the same in every vocabulary."""

from collections.abc import Sequence
from typing import Any

ALPHABET = 256  # tokens that stand for one byte each
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

# What WordPiece gives for a word that it has no pieces for (BERT's spelling).
UNKNOWN = "[UNK]"

SPECIAL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END, PADDING)
END_OF_TEXT_ID, MESSAGE_START_ID, MESSAGE_END_ID, PADDING_ID = range(len(SPECIAL_TOKENS))

# Who speaks in a conversation.
SPEAKERS = ("system", "user", "assistant")

# What `tokenizer.reserve` names. Every vocabulary has the end of text and padding.
GROUPS = {
    "chat": (MESSAGE_START, MESSAGE_END),
    "masking": (MASK, CLASSIFY, SEPARATOR),
    "spans": SENTINELS,
}


def reserved(groups: Sequence[str]) -> tuple[str, ...]:
    """The special tokens of a vocabulary that reserves these groups, in the order of their ids.

    With the chat group alone these are SPECIAL_TOKENS; others come after them.
    """
    chosen = [*(GROUPS["chat"] if "chat" in groups else ())]
    others = [token for name in ("masking", "spans") if name in groups for token in GROUPS[name]]
    return (END_OF_TEXT, *chosen, PADDING, *others)


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


def id_count(tokenizer: Any) -> int:
    """One more than the highest id of a `tokenizers.Tokenizer`: an imported one may have gaps."""
    return 1 + int(max(tokenizer.get_vocab(with_added_tokens=True).values()))


def read_special_tokens_as_text(tokenizer: Any) -> None:
    """Make a `tokenizers.Tokenizer` encode a document's literal `<|endoftext|>` as plain characters.

    Text from outside must never be able to end a document or a message. Not saved with the
    tokenizer, so it is set wherever text is encoded.
    """
    tokenizer.encode_special_tokens = True
