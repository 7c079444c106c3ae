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
    documents = [
        HeldOut(doc_id, source, text.encode())
        for doc_id, source, text in _rows(folders, fraction, held_out_ones=True)
        if text
    ]
    if not documents:
        raise BadInput(
            f"no document is held out with a validation fraction of {fraction}: raise "
            f"tokenize.validation.fraction, or crawl more pages"
        )
    documents.sort(key=lambda document: document.doc_id)
    if limit_bytes is None:
        return documents
    taken = [documents[0]]
    total = len(documents[0].text)
    for document in documents[1:]:
        total += len(document.text)
        if total > limit_bytes:
            break
        taken.append(document)
    return taken


def training_texts(folders: Sequence[Path], fraction: float) -> Iterator[bytes]:
    """The UTF-8 bytes of each training document, in the order of shards and doc_ids."""
    for _, _, text in _rows(folders, fraction, held_out_ones=False):
        if text:
            yield text.encode()


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
