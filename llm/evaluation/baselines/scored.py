"""The result of a baseline over bytes."""

from collections.abc import Sequence

from llm.evaluation.result import rows, write
from llm.evaluation.suite import BITS_PER_BYTE
from llm.evaluation.texts import HeldOut
from llm.step import Context, StepResult

WHOLE = "all validation documents"


def write_bits(
    name: str, documents: Sequence[HeldOut], bits: Sequence[float], words: str, context: Context
) -> StepResult:
    """Write what a baseline needs for each document. words: what it is, for the protocol."""
    ids = [document.doc_id.hex() for document in documents]
    sources = [document.source for document in documents]
    sizes = [len(document.text) for document in documents]
    table = rows(BITS_PER_BYTE.name, ids, sources, bits, sizes)
    protocol = f"{words}; {over(documents)}"
    return write(context, name, (BITS_PER_BYTE,), [table], protocol, "document")


def write_whole(
    name: str, documents: Sequence[HeldOut], bits: float, words: str, context: Context
) -> StepResult:
    """Write what a baseline needs for all documents together, as one item."""
    size = sum(len(document.text) for document in documents)
    table = rows(BITS_PER_BYTE.name, [WHOLE], [""], [bits], [size])
    return write(context, name, (BITS_PER_BYTE,), [table], f"{words}; {over(documents)}", "text")


def over(documents: Sequence[HeldOut]) -> str:
    """What the figure is over, for the protocol."""
    size = sum(len(document.text) for document in documents)
    return f"bits per byte over the {len(documents)} validation documents ({size} UTF-8 bytes)"
