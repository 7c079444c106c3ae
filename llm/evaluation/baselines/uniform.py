"""Every byte equally likely: 8 bits."""

from llm.evaluation.suite import Baseline, MeasureBaseline
from llm.step import Context, Inputs, StepResult

BASELINE = Baseline(titles={"uniform": "every byte alike"})


def measure(values: MeasureBaseline[None], inputs: Inputs, context: Context) -> StepResult:
    """8 bits for each byte of the validation documents. inputs: documents (all written shards)."""
    from llm.evaluation.baselines.scored import write_bits
    from llm.evaluation.texts import held_out

    documents = held_out(inputs["documents"], values.validation_fraction, values.limit_bytes)
    bits = [8.0 * len(document.text) for document in documents]
    return write_bits(values.name, documents, bits, "8 bits for every byte", context)
