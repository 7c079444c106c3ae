"""The tokenizer stage: the training split's text becomes a subword vocabulary, `tokenizer.json`."""

from collections.abc import Iterator

import pyarrow as pa
from tokenizers import Tokenizer

from llm.corpus import documents
from llm.durable import write_bytes
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.tokens.bpe import train_bpe
from llm.tokens.merges import Ties
from llm.tokens.patterns import LEARNED_DEFAULT
from llm.tokens.pieces import Texts
from llm.tokens.report import report
from llm.tokens.special import reserved
from llm.tokens.tokenizer_settings import TokenizerSettings, TrainTokenizer
from llm.tokens.unigram import train_unigram
from llm.tokens.wordpiece import train_wordpiece

LIBRARIES = ("tokenizers",)


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
        return train_unigram(
            texts, settings.vocabulary, settings.pattern or LEARNED_DEFAULT, special, workers
        )
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
        settings.pattern or LEARNED_DEFAULT,
        settings.min_frequency,
        special,
        ties,
        workers,
    )
