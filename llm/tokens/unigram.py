"""Unigram language model (Kudo 2018) over bytes: tokens with probabilities, the likeliest split."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from llm.tokens.patterns import PATTERNS, cut_into_bytes
from llm.tokens.pieces import Texts

LIBRARIES = ("tokenizers",)


def train_unigram(
    texts: Iterable[Texts],
    vocabulary: int,
    pattern: str,
    special_tokens: Sequence[str],
) -> Tokenizer:
    """Learn a Unigram vocabulary (arXiv 1804.10959) from texts or lists of texts.

    Every byte is a token, so every text has an encoding and comes back unchanged. Ids: special
    tokens, then tokens by probability; fewer than `vocabulary` where the text has no more. The
    library's trainer adds up in an order of chance, so another run may give a slightly different
    vocabulary.
    """
    tokenizer = Tokenizer(models.Unigram())
    cut_into_bytes(tokenizer, PATTERNS[pattern])
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, normalized=False) for token in special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lists = (item.to_pylist() if isinstance(item, pa.Array) else item for item in texts)
    tokenizer.train_from_iterator(lists, trainer)
    return tokenizer
