"""Byte-level BPE: the commonest pairs of neighbours become tokens, from single bytes up.

The vocabulary starts with the special tokens and the 256 bytes, so every text has an encoding and
comes back unchanged. The same documents give the same file, byte for byte.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import AddedToken, Tokenizer, models

from llm.tokens.merges import Ties, learn_merges
from llm.tokens.patterns import PATTERNS, bytes_shown, cut_into_bytes
from llm.tokens.pieces import Texts, count_pieces
from llm.tokens.special import ALPHABET, SPECIAL_TOKENS

LIBRARIES = ("tokenizers",)


def train_bpe(
    texts: Iterable[Texts],
    vocabulary: int,
    pattern: str = "gpt4",
    min_frequency: int = 2,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    ties: Ties = "lowest",
    workers: int = 2,
) -> Tokenizer:
    """Learn byte-level BPE (Sennrich et al. 2016, Radford et al. 2019) from texts or lists of texts.

    The order of texts does not matter. Ids: special tokens, bytes, then merges as they were made;
    fewer than `vocabulary` where no pair occurs `min_frequency` times any more. `pattern` is a name
    of patterns.PATTERNS; for `ties` see merges.learn_merges.
    """
    found = count_pieces(texts, pattern, workers)
    # The bytes in the order of the characters that stand for them: these are their ids.
    shown = bytes_shown()
    alphabet = sorted(shown, key=lambda byte: shown[byte])
    rank = np.zeros(ALPHABET, np.int32)
    rank[alphabet] = np.arange(ALPHABET)
    tokens, merges = learn_merges(
        rank[found.data], found.starts, found.counts,
        [bytes([byte]) for byte in alphabet],
        vocabulary - len(special_tokens), min_frequency, ties,
    )  # fmt: skip
    return bpe_tokenizer(tokens, merges, pattern, special_tokens)


def bpe_tokenizer(
    tokens: Sequence[bytes],
    merges: Iterable[tuple[int, int]],
    pattern: str,
    special_tokens: Sequence[str] = (),
) -> Tokenizer:
    """A byte-level BPE tokenizer from tokens in the order of their ids and pairs of them.

    Special tokens come before them.
    """
    shown = bytes_shown()
    spelled = ["".join(shown[byte] for byte in token) for token in tokens]
    vocabulary = {token: number for number, token in enumerate([*special_tokens, *spelled])}
    pairs = [(spelled[left], spelled[right]) for left, right in merges]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    cut_into_bytes(tokenizer, PATTERNS[pattern])
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in special_tokens])
    return tokenizer
