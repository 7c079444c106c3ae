"""What simple methods reach on the validation text, in bits per byte: floors to hold a model against.

uniform: every byte equally likely, 8 bits. bigram, ngram5: byte Witten-Bell models of order 2 and
5 trained on the training split. xz: `xz -9e` of the validation text alone. xz_primed: what the
validation text adds to the `xz -9e` of the training text before it.
"""

import lzma
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from llm.durable import write_json
from llm.evaluation.baselines_settings import MeasureBaselines
from llm.evaluation.ngram import WittenBell
from llm.evaluation.texts import HeldOut, held_out, training_texts
from llm.step import Context, Inputs, StepResult

LIBRARIES = ("numpy",)

ORDERS = {"bigram": 2, "ngram5": 5}
MEBIBYTE = 1 << 20
# liblzma's largest dictionary.
LARGEST_DICTIONARY = 1536 * MEBIBYTE


def measure(values: MeasureBaselines, inputs: Inputs, context: Context) -> StepResult:
    """Measure each baseline on the validation documents: metrics.json.

    inputs: documents (all written shards). Raises BadInput where a split is empty.
    """
    documents = held_out(
        inputs["documents"], values.validation_fraction, values.documents_limit_bytes
    )
    total_bytes = sum(len(document.text) for document in documents)
    folders, fraction = inputs["documents"], values.validation_fraction
    training_bytes, tail = _count_and_tail(training_texts(folders, fraction), values.primed_bytes)
    methods = values.baselines
    bits: dict[str, float] = {}
    context.report.progress(0, len(methods), "baselines")
    with ThreadPoolExecutor(context.machine.workers) as pool:
        # liblzma works outside the interpreter lock: xz runs beside the n-grams.
        compressed: dict[str, Future[float]] = {
            name: pool.submit(_xz_bits, name, documents, tail)
            for name in methods
            if name in ("xz", "xz_primed")
        }
        for name in methods:
            if name == "uniform":
                bits[name] = 8.0 * total_bytes
            elif name in ORDERS:
                training = first_bytes(training_texts(folders, fraction), values.ngram_bytes)
                bits[name] = _ngram_bits(ORDERS[name], documents, training)
            else:
                bits[name] = compressed[name].result()
            context.report.progress(len(bits), len(methods), "baselines")
    bits_per_byte = {name: value / total_bytes for name, value in bits.items()}
    protocol = _protocol(documents, total_bytes, values)
    result = {
        "bits_per_byte": bits_per_byte,
        "bytes": total_bytes,
        "documents": len(documents),
        "training_bytes": training_bytes,
        "protocol": protocol,
    }
    write_json(context.out / "metrics.json", result)
    context.report.table(
        "baselines",
        [{"baseline": name, "bits per byte": round(v, 3)} for name, v in bits_per_byte.items()],
        protocol,
    )
    summary = ", ".join(f"{name} {value:.3f}" for name, value in bits_per_byte.items())
    return StepResult(counts=bits_per_byte, summary=f"bits/byte: {summary}")


def xz_bytes(text: bytes) -> int:
    """Size of `xz -9e` of the text, its dictionary as large as the text where 64 MiB are too few."""
    dictionary = 64 * MEBIBYTE
    while dictionary < min(len(text), LARGEST_DICTIONARY):
        dictionary = min(2 * dictionary, LARGEST_DICTIONARY)
    extreme = {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": dictionary,
    }
    return len(lzma.compress(text, format=lzma.FORMAT_XZ, filters=[extreme]))


def first_bytes(texts: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The first texts, as many as have `limit` bytes together; the last one may pass it."""
    for text in texts:
        if limit <= 0:
            return
        limit -= len(text)
        yield text


def _count_and_tail(texts: Iterable[bytes], limit: int) -> tuple[int, bytes]:
    """How many bytes all texts have, and the last `limit` of them. Holds no more than twice these."""
    total, tail = 0, bytearray()
    for text in texts:
        total += len(text)
        tail += text
        if len(tail) > 2 * limit:
            del tail[:-limit]
    return total, bytes(tail[-limit:])


def _xz_bits(name: str, documents: Sequence[HeldOut], before: bytes) -> float:
    text = b"".join(document.text for document in documents)
    if name == "xz":
        return 8.0 * xz_bytes(text)
    return 8.0 * (xz_bytes(before + text) - xz_bytes(before))


def _ngram_bits(order: int, documents: Sequence[HeldOut], training: Iterable[bytes]) -> float:
    model = WittenBell(order, training)
    return float(model.bits([document.text for document in documents]).sum())


def _protocol(documents: Sequence[HeldOut], total_bytes: int, values: MeasureBaselines) -> str:
    return (
        f"bits per byte over the {len(documents)} validation documents ({total_bytes} UTF-8 bytes); "
        f"byte n-grams with Witten-Bell smoothing trained on the first {values.ngram_bytes} bytes of the training documents, each document "
        f"scored from its own start; xz -9e of the validation documents one after the other, alone "
        f"or (xz_primed) as what they add to that of the last {values.primed_bytes} bytes "
        f"of training text"
    )
