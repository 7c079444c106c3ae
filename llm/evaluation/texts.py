"""The text that evaluations read: held-out documents to be scored, training documents to learn from.

Which document is held out is decided by its split key alone, exactly as for training.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm.corpus.documents import batches, validation_mask
from llm.step import BadInput


@dataclass(frozen=True)
class HeldOut:
    """One validation document. text: its UTF-8 bytes, which is what "per byte" counts."""

    doc_id: bytes
    source: str
    text: bytes


def held_out(
    folders: Sequence[Path], fraction: float, limit_bytes: int | None = None
) -> list[HeldOut]:
    """The validation documents in the order of their doc_id (a hash: a random order).

    limit_bytes: stop before the document that would pass it (the first always counts).
    Raises BadInput where there is none.
    """
    chosen = None if limit_bytes is None else _first(folders, fraction, limit_bytes)
    documents = [
        HeldOut(doc_id, source, text.encode())
        for doc_id, source, text in _rows(folders, fraction, held_out_ones=True)
        if text and (chosen is None or doc_id in chosen)
    ]
    if not documents:
        raise BadInput(
            f"no document is held out with a validation fraction of {fraction}: raise "
            f"tokenize.validation.fraction, or crawl more pages"
        )
    documents.sort(key=lambda document: document.doc_id)
    return documents


def _first(folders: Sequence[Path], fraction: float, limit_bytes: int) -> set[bytes]:
    """The doc_ids of the first documents that fit, found without holding their texts."""
    sizes = sorted(
        (doc_id, len(text.encode()))
        for doc_id, _, text in _rows(folders, fraction, held_out_ones=True)
        if text
    )
    chosen, total = set[bytes](), 0
    for number, (doc_id, size) in enumerate(sizes):
        total += size
        if number and total > limit_bytes:
            break
        chosen.add(doc_id)
    return chosen


def training_texts(folders: Sequence[Path], fraction: float) -> Iterator[bytes]:
    """The UTF-8 bytes of each training document, in the order of shards and doc_ids."""
    for _, _, text in _rows(folders, fraction, held_out_ones=False):
        if text:
            yield text.encode()


def first_bytes(texts: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The first texts, as many as have `limit` bytes together; the last one may pass it."""
    for text in texts:
        if limit <= 0:
            return
        limit -= len(text)
        yield text


def last_bytes(texts: Iterable[bytes], limit: int) -> bytes:
    """The last `limit` bytes of all texts. Holds no more than twice these."""
    tail = bytearray()
    for text in texts:
        tail += text
        if len(tail) > 2 * limit:
            del tail[:-limit]
    return bytes(tail[-limit:])


def _rows(
    folders: Iterable[Path], fraction: float, held_out_ones: bool
) -> Iterator[tuple[bytes, str, str]]:
    for batch in batches(folders, ["doc_id", "source", "split_key", "text"]):
        mask = validation_mask(batch["split_key"].to_numpy(zero_copy_only=False), fraction)
        chosen = batch.filter(mask if held_out_ones else ~mask)
        yield from zip(
            chosen["doc_id"].to_pylist(),
            chosen["source"].to_pylist(),
            chosen["text"].to_pylist(),
            strict=True,
        )
