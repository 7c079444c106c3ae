"""The tokenizer stage: the training split's text becomes a subword vocabulary, `tokenizer.json`."""

from collections.abc import Iterator
from typing import Literal

import pyarrow as pa
from tokenizers import Tokenizer

from llm.corpus import documents
from llm.durable import write_bytes
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.tokens.bpe import ALPHABET, train_bpe
from llm.tokens.merges import Ties
from llm.tokens.pieces import Texts
from llm.tokens.report import report
from llm.tokens.special import SPECIAL_TOKENS, reserved
from llm.tokens.unigram import train_unigram
from llm.tokens.wordpiece import train_wordpiece

LIBRARIES = ("tokenizers",)

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
    pattern: Literal["gpt4", "gpt2", "llama3"] = setting(
        default="gpt4",
        description="How text is cut before it is learned from: as GPT-4 and Llama 3 do (digits by "
        "threes) or as GPT-2 does. Also for imported tiktoken ranks, which do not say; not for "
        "wordpiece.",
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
    )

    def __post_init__(self) -> None:
        if self.lowercase and self.type != "wordpiece":
            raise ValueError(f"lowercase goes with type wordpiece, not {self.type}")
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


def train(values: TrainTokenizer, inputs: Inputs, context: Context) -> StepResult:
    """Learn a tokenizer from all documents: `tokenizer.json` and `stats.json`.

    Raises BadInput when there is no training text, or too little for so large a vocabulary.
    """
    folders, settings = inputs["documents"], values.settings
    total = sum(
        documents.open_table(folder / "documents.parquet", documents.DOCUMENTS).metadata.num_rows
        for folder in folders
    )
    bytes_read = 0

    def texts() -> Iterator[pa.LargeStringArray]:
        nonlocal bytes_read
        done = 0
        for batch in documents.batches(folders, ["split_key", "text"]):
            keys = batch["split_key"].to_numpy()
            held_out = documents.validation_mask(keys, values.validation_fraction)
            kept = batch["text"].filter(pa.array(~held_out))
            bytes_read += kept.nbytes if len(kept) else 0
            yield kept
            done += len(batch)
            context.report.progress(done, total, "documents")

    tokenizer = learn(texts(), settings, context.machine.workers)
    size = tokenizer.get_vocab_size()
    if not bytes_read or size < settings.vocabulary:
        few = "too little training text" if bytes_read else "there is no training text"
        raise BadInput(
            f"tokenizer.vocabulary {settings.vocabulary:,}: {few} for it; at most {size:,} is "
            f"possible: lower it, crawl more, or loosen clean.filters"
        )
    text = tokenizer.to_str(pretty=True).encode()
    write_bytes(context.out / "tokenizer.json", text)
    stats = report(tokenizer, folders, values.validation_fraction, context.out, context.report)
    return StepResult(
        counts={"vocabulary": size, "sources": stats["sources"]},
        content=digest_of([text]),  # statistics change nothing in what comes later
        summary=f"{size:,} tokens, {stats['bytes_per_token']:.2f} bytes a token, "
        f"{stats['never_used']['count']:,} never used",
    )


def learn(texts: Iterator[Texts], settings: TokenizerSettings, workers: int = 2) -> Tokenizer:
    """Learn the kind of vocabulary that the settings name; smaller where the text has no more."""
    special = reserved(settings.reserve)
    if settings.type == "unigram":
        return train_unigram(texts, settings.vocabulary, settings.pattern, special, workers)
    if settings.type == "wordpiece":
        return train_wordpiece(
            texts,
            settings.vocabulary,
            special,
            lowercase=settings.lowercase,
            min_frequency=settings.min_frequency,
        )
    ties: Ties = settings.ties
    return train_bpe(
        texts,
        settings.vocabulary,
        settings.pattern,
        settings.min_frequency,
        special,
        ties,
        workers,
    )
