"""Byte Witten-Bell models (bigram: of order 2, ngram5: of order 5) of the training documents."""

from llm.evaluation.suite import Baseline, MeasureBaseline
from llm.step import Context, Inputs, StepResult

LIBRARIES = ("numpy",)

ORDERS = {"bigram": 2, "ngram5": 5}
TRAINING_BYTES = 512_000_000

BASELINE = Baseline(titles={"bigram": "byte bigram", "ngram5": "byte 5-gram"})


def measure(values: MeasureBaseline[None], inputs: Inputs, context: Context) -> StepResult:
    """Count the first TRAINING_BYTES of the training documents, score the validation documents.

    inputs: documents (all written shards). Raises BadInput where a split is empty.
    """
    from llm.evaluation.baselines.ngram import WittenBell
    from llm.evaluation.baselines.scored import write_bits
    from llm.evaluation.texts import first_bytes, held_out, training_texts

    folders, fraction = inputs["documents"], values.validation_fraction
    documents = held_out(folders, fraction, values.limit_bytes)
    training = first_bytes(training_texts(folders, fraction), TRAINING_BYTES)
    model = WittenBell(ORDERS[values.name], training)
    bits = model.bits([document.text for document in documents])
    words = (
        f"byte {model.order}-grams with Witten-Bell smoothing of the first {TRAINING_BYTES} bytes of the "
        "training documents, each document scored from its own start"
    )
    return write_bits(values.name, documents, bits.tolist(), words, context)
