"""WordPiece as BERT has it: words, the rest of a word as ##pieces, [UNK] for what has no pieces.

Text does not come back unchanged: white space is not kept, and a word with a character that no
training text had becomes [UNK].
"""

from collections.abc import Iterable, Sequence

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from llm.tokens.special import UNKNOWN

LIBRARIES = ("tokenizers",)

CONTINUES = "##"


def train_wordpiece(
    texts: Iterable[Sequence[str] | str],
    vocabulary: int,
    special_tokens: Sequence[str],
    *,
    lowercase: bool = False,
    min_frequency: int = 2,
) -> Tokenizer:
    """Learn a WordPiece vocabulary (Schuster and Nakajima 2012; BERT, arXiv 1810.04805) from texts.

    Text is cleaned and cut into words and punctuation marks as BERT's is; `lowercase` also takes
    accents away. Ids: special tokens, [UNK], characters, then pieces as they were made.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN, continuing_subword_prefix=CONTINUES))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=min_frequency,
        special_tokens=[AddedToken(name, normalized=False) for name in (*special_tokens, UNKNOWN)],
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
