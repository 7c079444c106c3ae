"""What a tokenizer is trained with."""

from typing import Literal

from llm.settings import section, setting
from llm.tokens.special import ALPHABET, SPECIAL_TOKENS, reserved

LEAST_VOCABULARY = ALPHABET + len(SPECIAL_TOKENS)


@section
class TokenizerSettings:
    """A subword vocabulary: learned from the training split, or brought along."""

    type: Literal["bpe", "unigram", "wordpiece"] = setting(
        default="bpe",
        description="Kind: byte-level BPE, byte-level Unigram (both keep every text unchanged), or "
        "WordPiece as BERT has it (loses white space; rare characters become [UNK]).",
    )
    vocabulary: int = setting(
        default=4096,
        description="Size with the 256 bytes and the special tokens (tokens).",
        ge=LEAST_VOCABULARY,
    )
    pattern: Literal["gpt4", "gpt2", "llama3", "o200k"] | None = setting(
        default=None,
        description="How text is cut before it is learned from: as GPT-4 and Llama 3 do (digits by "
        "threes; the default) or as GPT-2 does; not for wordpiece. For imported .tiktoken ranks: "
        "those that OpenAI published (r50k, p50k, cl100k, o200k) are recognised, for others it "
        "must be given.",
    )
    min_frequency: int = setting(
        default=2,
        description="How often a pair must occur to become a token (count); not for unigram.",
        ge=1,
    )
    ties: Literal["lowest", "greatest"] = setting(
        default="lowest",
        description="Which of the pairs that are as common bpe merges first: the one of the lowest "
        "ids, as Hugging Face's tokenizers does, or the greatest pair of byte strings.",
    )
    lowercase: bool = setting(
        default=False, description="Lower case and no accents, as BERT uncased; wordpiece only."
    )
    reserve: tuple[Literal["chat", "masking", "spans"], ...] = setting(
        default=("chat",),
        description="Special tokens beside the end of text and padding: chat (ends of messages), "
        "masking (mask, cls, sep), spans (64 sentinels for span corruption).",
    )
    imported: str | None = setting(
        default=None,
        alias="import",
        description="A tokenizer to use instead of learning one: tokenizer.json, vocab.json and "
        "merges.txt, .tiktoken ranks, a SentencePiece .model, llama2.c's .bin, or a folder with one.",
        path="file",
    )

    def __post_init__(self) -> None:
        if self.pattern == "o200k" and self.imported is None:
            raise ValueError("pattern o200k is for imported ranks; train with gpt4 or gpt2")
        if self.lowercase and self.type != "wordpiece":
            raise ValueError(f"lowercase is for type wordpiece, not {self.type}")
        least = ALPHABET + len(reserved(self.reserve))
        if self.vocabulary < least:
            raise ValueError(
                f"vocabulary {self.vocabulary} is less than the {least} bytes and special tokens"
            )


@section
class TrainTokenizer:
    """What the step reads: the recipe's section, and where the training split begins."""

    settings: TokenizerSettings = setting(
        default=TokenizerSettings, description="The tokenizer section."
    )
    validation_fraction: float = setting(
        default=0.05,
        description="Share of the URLs held out; their text is not looked at (0 to 1).",
        ge=0,
        lt=1,
    )
