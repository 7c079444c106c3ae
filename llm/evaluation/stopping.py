"""Whether a model that was taught to chat ends its answers by itself.

A model that never learned the end of a turn has a fine loss and writes on for ever: its loss alone does
not tell.
"""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import Request, generate_all
from llm.models.roles import delimiters
from llm.tokens.template import ChatTemplate

LIBRARIES = ("torch", "tokenizers")


def chats(folder: Path) -> bool:
    """Whether a model folder carries a chat template: others were taught no end of a turn."""
    return ChatTemplate.of(folder) is not None


def stops(
    model: Decoder | EncoderDecoder,
    tokenizer: Tokenizer,
    folder: Path,
    asked: Sequence[Sequence[int]],
    most: int,
    start: int | None = None,
) -> list[bool]:
    """For each question, whether the likeliest answer ends within `most` tokens.

    asked: ids up to the first of an answer. start: what an encoder-decoder's target starts from; its
    answers are no longer than its context.
    """
    limit = model.config.context_length
    ends = delimiters(folder, tokenizer, model.config.vocabulary).ends
    if start is not None:
        most = min(most, limit)
    requests = [Request(ids[-limit:], most, stop_ids=ends, start_id=start) for ids in asked]
    return [len(ids) < most for ids in generate_all(model, requests)]
