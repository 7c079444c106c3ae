"""The tokens that no text produces: their spelling and their ids, the same in every vocabulary."""

from typing import Any

END_OF_TEXT = "<|endoftext|>"
MESSAGE_START = "<|im_start|>"
MESSAGE_END = "<|im_end|>"
PADDING = "<|pad|>"

SPECIAL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END, PADDING)
END_OF_TEXT_ID, MESSAGE_START_ID, MESSAGE_END_ID, PADDING_ID = range(len(SPECIAL_TOKENS))


def require_special_tokens(tokenizer: Any) -> None:
    """Check that a `tokenizers.Tokenizer` has the special tokens; ValueError names what it lacks."""
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise ValueError(
            f"the tokenizer has no token {', '.join(missing)}: add them to its special tokens, "
            f"or train one with `tokenizer: {{type: bpe}}`"
        )


def read_special_tokens_as_text(tokenizer: Any) -> None:
    """Make a `tokenizers.Tokenizer` encode a document's literal `<|endoftext|>` as plain characters.

    Text from outside must never be able to end a document or a message. Not saved with the
    tokenizer, so it is set wherever text is encoded.
    """
    tokenizer.encode_special_tokens = True
