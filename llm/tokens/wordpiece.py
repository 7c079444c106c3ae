"""WordPiece as BERT has it: words, the rest of a word as ##pieces, [UNK] for what has no pieces.

Text does not come back unchanged: white space is not kept, and a word with a character that the
vocabulary lacks becomes [UNK].
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from llm.tokens.merges import learn_merges
from llm.tokens.pieces import Texts
from llm.tokens.special import UNKNOWN

LIBRARIES = ("tokenizers",)

CONTINUES = "##"
_BEGINS = b"\0"  # before the first character of a word, while merges are learned
_SPACES = re.compile(r"[ \t\r\n]+")


def train_wordpiece(
    texts: Iterable[Texts],
    vocabulary: int,
    special_tokens: Sequence[str],
    *,
    lowercase: bool = False,
    min_frequency: int = 2,
) -> Tokenizer:
    """Learn a WordPiece vocabulary (BERT, arXiv 1810.04805) from texts or lists of texts.

    Text is cleaned and cut into words and punctuation marks as BERT's is; `lowercase` also takes
    accents away. Pieces are learned by the commonest pair, as Hugging Face's tokenizers does. Ids:
    special tokens, [UNK], characters, the same inside words, then pieces as they were made. The
    order of texts does not matter. Of characters at most a quarter of the vocabulary are kept, the
    commonest.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)
    special = [*special_tokens, UNKNOWN]
    learned = _pieces(_words(tokenizer, texts), vocabulary - len(special), min_frequency)
    ids = {piece: number for number, piece in enumerate([*special, *learned])}
    tokenizer.model = models.WordPiece(
        vocab=ids, unk_token=UNKNOWN, continuing_subword_prefix=CONTINUES
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in special])
    return tokenizer


def _words(tokenizer: Tokenizer, texts: Iterable[Texts]) -> Counter[str]:
    """How often each word occurs. What stands between spaces is cut once, however often it occurs."""
    chunks: Counter[str] = Counter()
    for item in texts:
        some = item.to_pylist() if isinstance(item, pa.Array) else item
        for text in [some] if isinstance(some, str) else some:
            chunks.update(_SPACES.split(text))
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        text = tokenizer.normalizer.normalize_str(chunk)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
            words[word] += count
    return words


def _pieces(words: Mapping[str, int], size: int, min_frequency: int) -> list[str]:
    """The pieces that words are made of, `size` at most."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    ranked = sorted(characters, key=lambda character: (-characters[character], character))
    kept = sorted(ranked[: size // 4])
    whole = sorted(word for word in words if set(word) <= set(kept))
    inside = sorted({character for word in whole for character in word[1:]})
    alphabet = [_BEGINS + character.encode() for character in kept]
    alphabet += [character.encode() for character in inside]
    begin = {character: number for number, character in enumerate(kept)}
    rest = {character: len(kept) + number for number, character in enumerate(inside)}
    symbols = [
        (rest if place else begin)[character]
        for word in whole
        for place, character in enumerate(word)
    ]
    starts = np.zeros(len(whole) + 1, np.int64)
    np.cumsum([len(word) for word in whole], out=starts[1:])
    counts = np.array([words[word] for word in whole], np.int64)
    tokens, _ = learn_merges(
        np.array(symbols, np.int32), starts, counts, alphabet, size, min_frequency
    )
    return [
        token[1:].decode() if token.startswith(_BEGINS) else CONTINUES + token.decode()
        for token in tokens
    ]
