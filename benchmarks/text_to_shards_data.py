"""Real text for `benchmarks/text_to_shards.py`: documents as Parquet shards, and a vocabulary learned beside them."""

import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filters_data import _pieces, _sources

VOCABULARY = 32_768
LEARNED = 0.25  # share of the documents that the vocabulary is learned from, beside those encoded


def texts(shared: Path) -> Iterator[str]:
    """Documents of real text, the kinds in turn, none twice."""
    sources = [_pieces(source, number) for number, source in enumerate(_sources(shared))]
    sources.append(_pieces(_code(), len(sources)))
    seen: set[bytes] = set()
    while sources:
        for source in list(sources):
            for _ in range(20):
                text = next(source, None)
                if text is None:
                    sources.remove(source)
                    break
                name = hashlib.blake2b(text.encode(), digest_size=16).digest()
                # Special tokens spelled out are text for us, and special for the peers.
                if name not in seen and "<|" not in text:
                    seen.add(name)
                    yield text


def _code() -> Iterator[str]:
    """Source files of the packages on the path, as the last and largest kind of text."""
    for folder in map(Path, sys.path):
        for path in sorted(folder.rglob("*.py")) if folder.is_dir() else ():
            try:
                yield path.read_text("utf8")
            except (OSError, UnicodeDecodeError):
                continue


def prepare(
    folder: Path, megabytes: float, shared: Path, shards: int, workers: int
) -> tuple[int, int, float, float]:
    """Write shards, `learn.parquet` and `tokenizer.json`; documents, bytes, seconds of ours, of HF."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    from llm.corpus.documents import write_table
    from llm.tokens.bpe import train_bpe
    from llm.tokens.patterns import PATTERNS, cut_into_bytes
    from llm.tokens.special import SPECIAL_TOKENS

    encoded: list[str] = []
    learned: list[str] = []
    size = 0
    for number, text in enumerate(texts(shared)):
        if number % 5 == 4 and len(learned) < LEARNED * len(encoded):
            learned.append(text)
            continue
        encoded.append(text)
        size += len(text.encode())
        if size >= 1e6 * megabytes:
            break
    (folder / "shards").mkdir(parents=True)
    for shard in range(shards):
        table = _table(encoded, range(shard, len(encoded), shards))
        write_table(folder / f"shards/{shard:05d}.parquet", table)

    train_bpe(["compile now"], 300, "gpt4")
    start = time.perf_counter()
    ours = train_bpe(learned, VOCABULARY, "gpt4", workers=workers)
    seconds = time.perf_counter() - start
    theirs = Tokenizer(models.BPE())
    cut_into_bytes(theirs, PATTERNS["gpt4"])
    start = time.perf_counter()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=[AddedToken(token, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(learned, trainer)
    seconds_theirs = time.perf_counter() - start
    assert ours.to_str() == theirs.to_str(), "the vocabulary is not that of tokenizers' trainer"
    ours.save(str(folder / "tokenizer.json"))
    return len(encoded), size, seconds, seconds_theirs


def _table(encoded: list[str], places: range) -> Any:
    """A shard of documents: those at these places."""
    import pyarrow as pa

    from llm.corpus.documents import DOCUMENTS, document_id, hash64

    rows = [
        {
            "doc_id": document_id("benchmark", str(at), encoded[at]),
            "url": str(at),
            "source": "benchmark",
            "language": "en",
            "language_score": 1.0,
            "licence": "",
            "opt_out": "",
            "split_key": hash64(str(at)),
            "text": encoded[at],
        }
        for at in places
    ]
    return pa.Table.from_pylist(rows, schema=DOCUMENTS)
