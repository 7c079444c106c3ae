"""What a vocabulary makes of text: bytes per token, longest tokens, tokens that never occur."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from llm.corpus import documents
from llm.durable import write_json
from llm.step import Reporter
from llm.tokens.arrow import text_bytes
from llm.tokens.encoders import CheckedEncoder, prepare
from llm.tokens.special import reserved

MEASURED_BYTES = 4_000_000  # of each source
SHOWN = 20


def report(
    tokenizer: Tokenizer, folders: Sequence[Path], fraction: float, out: Path, tell: Reporter
) -> dict[str, Any]:
    """Measure a tokenizer on the training split: `stats.json`, tables for the run's page."""
    stats = measure(tokenizer, training_rows(folders, fraction, ["source", "language", "text"]))
    write_json(out / "stats.json", stats)
    tell.table("bytes-per-token", stats["groups"], "Bytes of text for each token")
    tell.table("longest-tokens", stats["longest"], "The tokens of the most bytes")
    never = stats["never_used"]
    if never["count"]:
        tell.table(
            "tokens-never-used",
            never["longest"],
            f"{never['count']:,} tokens do not occur in {stats['bytes']:,} bytes; the longest",
        )
    return stats


def training_rows(
    folders: Sequence[Path], fraction: float, columns: Sequence[str]
) -> Iterable[pa.RecordBatch]:
    """The training split's rows, folder by folder, each sorted by doc_id."""
    for batch in documents.batches(folders, ["split_key", *columns]):
        held_out = documents.validation_mask(batch["split_key"].to_numpy(), fraction)
        yield batch.filter(pa.array(~held_out)).select(list(columns))


def measure(tokenizer: Tokenizer, rows: Iterable[pa.RecordBatch]) -> dict[str, Any]:
    """Figures by source and language on the first MEASURED_BYTES of each source.

    rows: columns source, language and text.
    """
    read: dict[str, int] = {}
    groups: dict[tuple[str, str], list[int]] = {}
    prepared = prepare(tokenizer.to_str().encode())
    used = np.zeros(prepared.end, np.int64)
    encoder = CheckedEncoder(prepared)
    for batch in rows:
        texts = batch["text"]
        sizes = text_bytes(texts)
        names = list(zip(batch["source"].to_pylist(), batch["language"].to_pylist(), strict=True))
        chosen = []
        for row, (source, _) in enumerate(names):
            if read.setdefault(source, 0) < MEASURED_BYTES:
                read[source] += int(sizes[row])
                chosen.append(row)
        if not chosen:
            continue
        texts = texts.take(pa.array(chosen))
        ids, offsets = encoder.encode(texts)
        used += np.bincount(ids, minlength=len(used))
        for row, tokens in zip(chosen, np.diff(offsets).tolist(), strict=True):
            counted = groups.setdefault(names[row], [0, 0, 0])
            for place, more in enumerate((1, int(sizes[row]), tokens)):
                counted[place] += more
    total = [sum(counted[place] for counted in groups.values()) for place in range(3)]
    by_source: dict[str, list[int]] = {}
    for (source, _), counted in groups.items():
        before = by_source.get(source, [0, 0, 0])
        by_source[source] = [a + b for a, b in zip(before, counted, strict=True)]
    return {
        "vocabulary": tokenizer.get_vocab_size(),
        **_figures(total),
        "sources": {source: _figures(by_source[source]) for source in sorted(by_source)},
        "groups": [
            {"source": source, "language": language, **_figures(counted)}
            for (source, language), counted in sorted(groups.items())
        ],
        "longest": longest_tokens(tokenizer),
        "never_used": never_used(tokenizer, used),
    }


def _figures(counted: Sequence[int]) -> dict[str, Any]:
    count, size, tokens = counted
    each = round(size / max(1, tokens), 4)
    return {"documents": count, "bytes": size, "tokens": tokens, "bytes_per_token": each}


def longest_tokens(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The tokens of the most bytes, longest first: what the corpus repeats shows here."""
    return _described(tokenizer, _plain_tokens(tokenizer))


def never_used(tokenizer: Tokenizer, used: np.ndarray) -> dict[str, Any]:
    """How many tokens no measured text had, and the longest of them; used: occurrences by id."""
    idle = {token: size for token, size in _plain_tokens(tokenizer).items() if not used[token]}
    return {"count": len(idle), "longest": _described(tokenizer, idle)}


def _plain_tokens(tokenizer: Tokenizer) -> dict[int, int]:
    """Tokens that are for text, by id: their bytes."""
    added = tokenizer.get_added_tokens_decoder()
    special = {token.content for token in added.values() if token.special}
    special.update(reserved(("chat", "masking", "spans")))
    # In a byte-level vocabulary every character of a token's spelling stands for one byte.
    bytewise = "ByteLevel" in str(tokenizer.decoder)
    return {
        token: len(spelling) if bytewise else len(spelling.removeprefix("##").encode())
        for spelling, token in tokenizer.get_vocab(with_added_tokens=False).items()
        if spelling not in special
    }


def _described(tokenizer: Tokenizer, sizes: dict[int, int]) -> list[dict[str, Any]]:
    ranked = sorted((-size, token) for token, size in sizes.items())
    return [
        {"id": token, "bytes": -size, "text": tokenizer.decode([token])}
        for size, token in ranked[:SHOWN]
    ]
