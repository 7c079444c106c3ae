"""From the recipe's objective to rows of it."""

import numpy as np
from tokenizers import Tokenizer

from llm.step import BadInput
from llm.tokens.special import (
    CLASSIFY,
    MASK,
    PADDING,
    SENTINELS,
    SEPARATOR,
    SPECIAL_TOKENS,
    special_ids,
)
from llm.training.objectives.masked import Hiding, Masked, MaskedPairs
from llm.training.objectives.settings import ObjectiveSettings
from llm.training.objectives.span_corruption import SpanCorruption
from llm.training.rows import BatchSource

NEEDED = {
    "next_token": (),
    "masked": (MASK,),
    "masked_next_sentence": (MASK, CLASSIFY, SEPARATOR),
    "span_corruption": (PADDING, *SENTINELS),
}


def build(
    settings: ObjectiveSettings, source: BatchSource, rows: int, seed: int, tokenizer: Tokenizer
) -> BatchSource:
    """Rows of the objective from those of `source`, which has `rows` a step for the next token.

    A pure function of (seed, step, row). Raises BadInput when the tokenizer lacks what it needs.
    """
    try:
        ids = special_ids(tokenizer, NEEDED[settings.type])
    except ValueError as error:
        raise BadInput(f"pretrain.objective.type {settings.type}: {error}") from error
    if settings.type == "next_token":
        return source
    if settings.type == "span_corruption":
        sentinels = [ids[name] for name in SENTINELS]
        start = ids[PADDING]
        return SpanCorruption(
            source, rows, seed, settings.rate, settings.mean_span, sentinels, start
        )
    hiding = Hiding(rate=settings.rate, mask=ids[MASK], words=_words(tokenizer))
    if settings.type == "masked":
        return Masked(source, rows, seed, hiding)
    return MaskedPairs(source, rows, seed, hiding, ids[CLASSIFY], ids[SEPARATOR])


def _words(tokenizer: Tokenizer) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The ids of tokens that text produces, ascending."""
    special = {*SPECIAL_TOKENS, MASK, CLASSIFY, SEPARATOR, *SENTINELS}
    found = [number for token, number in tokenizer.get_vocab().items() if token not in special]
    return np.array(sorted(found), dtype=np.int64)
