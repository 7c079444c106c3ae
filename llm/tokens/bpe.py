"""Byte-level BPE: the training split's text becomes a subword vocabulary, as `tokenizer.json`.

The vocabulary starts with the special tokens and the 256 bytes, so every text has an encoding and
comes back unchanged. The same documents give the same file, byte for byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from llm.corpus import documents
from llm.durable import write_bytes, write_json
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, Reporter, StepResult, digest_of
from llm.tokens.special import SPECIAL_TOKENS, read_special_tokens_as_text

LIBRARIES = ("tokenizers",)

ALPHABET = 256  # one token a byte
LEAST_VOCABULARY = ALPHABET + len(SPECIAL_TOKENS)
MEASURED_BYTES = 4_000_000  # of each source, to tell its bytes per token
LONGEST_SHOWN = 20

# How text is cut into the pieces that merges never cross.
PATTERNS = {
    # GPT-2 (openai/gpt-2, encoder.py): contractions, words, numbers and symbols with the space
    # before them, then white space.
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # GPT-4 (openai/tiktoken, cl100k_base): numbers in groups of at most three digits, a symbol may
    # lead a word, line ends stay with the symbols before them.
    "gpt4": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


@section
class TokenizerSettings:
    """A subword vocabulary, learned from the training split."""

    type: Literal["bpe"] = setting(default="bpe", description="Kind of tokenizer: byte-level BPE.")
    vocabulary: int = setting(
        default=4096,
        description="Size with the 256 bytes and the special tokens (tokens).",
        ge=LEAST_VOCABULARY,
    )
    pattern: Literal["gpt4", "gpt2"] = setting(
        default="gpt4",
        description="How text is cut before merging: as GPT-4 (digits by threes) or as GPT-2 does.",
    )
    min_frequency: int = setting(
        default=2, description="How often a pair must occur to become a token (count).", ge=1
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
    texts = training_texts(folders, values.validation_fraction, ["text"], context.report)
    tokenizer = train_bpe(
        (batch["text"] for batch in texts),
        settings.vocabulary,
        PATTERNS[settings.pattern],
        settings.min_frequency,
    )
    size = tokenizer.get_vocab_size()
    if size < settings.vocabulary:
        few = (
            "there is no training text" if size == LEAST_VOCABULARY else "too little training text"
        )
        raise BadInput(
            f"tokenizer.vocabulary {settings.vocabulary:,}: {few} for it; at most {size:,} is "
            f"possible: lower it, crawl more, or loosen clean.filters"
        )
    text = tokenizer.to_str(pretty=True).encode()
    write_bytes(context.out / "tokenizer.json", text)
    stats = measure(
        tokenizer, training_texts(folders, values.validation_fraction, ["source", "text"])
    )
    write_json(context.out / "stats.json", stats)
    context.report.table(
        "bytes-per-token",
        [{"source": name, **row} for name, row in stats["sources"].items()],
        "Bytes of text for each token, by source",
    )
    return StepResult(
        counts={"vocabulary": size, "sources": stats["sources"]},
        content=digest_of([text]),  # statistics change nothing in what comes later
        summary=f"{size:,} tokens, {stats['bytes_per_token']:.2f} bytes a token",
    )


def train_bpe(
    texts: Iterable[Sequence[str] | str],
    vocabulary: int,
    pattern: str,
    min_frequency: int = 2,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
) -> Tokenizer:
    """Learn byte-level BPE (Sennrich et al. 2016, Radford et al. 2019) from texts or lists of texts.

    The order of texts does not matter. Ids: special tokens, bytes, then merges as they were made;
    fewer than `vocabulary` where no pair occurs `min_frequency` times any more.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=min_frequency,
        special_tokens=[AddedToken(token, normalized=False) for token in special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def training_texts(
    folders: Sequence[Path],
    validation_fraction: float,
    columns: Sequence[str],
    report: Reporter | None = None,
) -> Iterator[dict[str, list[Any]]]:
    """The training split's rows as lists by column, folder by folder, each sorted by doc_id."""
    total = sum(
        documents.open_table(folder / "documents.parquet", documents.DOCUMENTS).metadata.num_rows
        for folder in folders
    )
    done = 0
    for batch in documents.batches(folders, ["split_key", *columns]):
        keys = batch["split_key"].to_numpy()
        kept = batch.filter(~documents.validation_mask(keys, validation_fraction))
        yield {name: kept[name].to_pylist() for name in columns}
        done += len(batch)
        if report is not None:
            report.progress(done, total, "documents")


def measure(tokenizer: Tokenizer, texts: Iterable[dict[str, list[Any]]]) -> dict[str, Any]:
    """Vocabulary, longest tokens and bytes per token, by source on the first MEASURED_BYTES each.

    texts: rows with the columns source and text.
    """
    read_special_tokens_as_text(tokenizer)
    sources: dict[str, dict[str, Any]] = {}
    for rows in texts:
        chosen: list[str] = []
        names: list[str] = []
        for source, text in zip(rows["source"], rows["text"], strict=True):
            row = sources.setdefault(source, {"bytes": 0, "tokens": 0})
            if row["bytes"] < MEASURED_BYTES:
                row["bytes"] += len(text.encode())
                chosen.append(text)
                names.append(source)
        for source, encoding in zip(names, tokenizer.encode_batch_fast(chosen), strict=True):
            sources[source]["tokens"] += len(encoding)
    for row in sources.values():
        row["bytes_per_token"] = round(row["bytes"] / max(1, row["tokens"]), 4)
    sizes = [sum(row[name] for row in sources.values()) for name in ("bytes", "tokens")]
    return {
        "vocabulary": tokenizer.get_vocab_size(),
        "bytes_per_token": round(sizes[0] / max(1, sizes[1]), 4),
        "sources": dict(sorted(sources.items())),
        "longest": longest_tokens(tokenizer),
    }


def longest_tokens(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The tokens of the most bytes, longest first: what the corpus repeats shows here."""
    # In a byte-level vocabulary every character of a token's spelling stands for one byte.
    spelled = [
        (-len(spelling), token)
        for spelling, token in tokenizer.get_vocab(with_added_tokens=False).items()
        if spelling not in SPECIAL_TOKENS
    ]
    return [
        {"id": token, "bytes": -size, "text": tokenizer.decode([token])}
        for size, token in sorted(spelled)[:LONGEST_SHOWN]
    ]
