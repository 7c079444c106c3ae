"""What `xz -9e` makes of the validation text: alone (xz), or beyond the training text before it (xz_primed)."""

import lzma

from llm.evaluation.suite import Baseline, MeasureBaseline
from llm.step import Context, Inputs, StepResult

PRIMED_BYTES = 128_000_000
"""Training text that xz_primed is given, at most: about a second and 11 MB of memory per MB."""

MEBIBYTE = 1 << 20
# liblzma's largest dictionary.
LARGEST_DICTIONARY = 1536 * MEBIBYTE

BASELINE = Baseline(titles={"xz": "xz -9e alone", "xz_primed": "xz -9e after training text"})


def measure(values: MeasureBaseline[None], inputs: Inputs, context: Context) -> StepResult:
    """Compress all validation documents, one after the other: one item.

    inputs: documents (all written shards). Raises BadInput where no document is held out.
    """
    from llm.evaluation.baselines.scored import write_whole
    from llm.evaluation.texts import held_out, last_bytes, training_texts

    folders, fraction = inputs["documents"], values.validation_fraction
    documents = held_out(folders, fraction, values.limit_bytes)
    text = b"".join(document.text for document in documents)
    words = "xz -9e of the validation documents one after the other"
    if values.name == "xz":
        return write_whole(values.name, documents, 8.0 * xz_bytes(text), f"{words}, alone", context)
    before = last_bytes(training_texts(folders, fraction), PRIMED_BYTES)
    bits = 8.0 * (xz_bytes(before + text) - xz_bytes(before))
    words += f", as what they add to that of the last {PRIMED_BYTES} bytes of training text"
    return write_whole(values.name, documents, bits, words, context)


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
