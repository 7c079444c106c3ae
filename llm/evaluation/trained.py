"""The trained baselines, LSTM and CNN, scored on the validation shards in windows as models are."""

from llm.evaluation.held_tokens import held_tokens, vocabulary_of
from llm.evaluation.perplexity import PRECISIONS
from llm.evaluation.scoring import score
from llm.evaluation.trained_settings import MeasureTrained
from llm.models.baselines import folder as baseline_folder
from llm.step import BadInput, Context, Inputs, StepResult
from llm.training import devices
from llm.training.work import MODEL

LIBRARIES = ("torch", "tokenizers")

NAMES = {"lstm": "LSTM", "cnn": "causal CNN"}


def measure(values: MeasureTrained, inputs: Inputs, context: Context) -> StepResult:
    """Score the validation shards: metrics.json.

    inputs: model (the baseline step's artifact), tokens (all tokenize artifacts), tokenizer.
    Raises BadInput where no document is held out.
    """
    import numpy as np

    settings = values.settings
    held = held_tokens(inputs["tokens"], settings.documents_limit_bytes)
    _, end_of_text = vocabulary_of(inputs["tokenizer"][0])
    device = devices.choose(context.machine.device)
    model = baseline_folder.load(inputs["model"][0] / MODEL, device, PRECISIONS[settings.precision])
    length = settings.context_length or values.context_length
    stride = settings.stride or length // 2
    if stride > length:
        raise BadInput(
            f"evaluate.perplexity.stride {stride} is more than the {length} tokens that the "
            f"{NAMES[values.baseline]} was trained on at once: lower it, or raise "
            f"evaluate.{values.baseline}.training.context_length"
        )
    texts = [np.concatenate([[end_of_text], one]) for one in held.tokens]

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "tokens")

    nats = sum(float(each.sum()) for each in score(model, texts, length, stride, progress=progress))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    words = (
        f"{NAMES[values.baseline]} of {parameters:,} parameters, context of {length} tokens in "
        f"windows {stride} tokens apart; {settings.precision}"
    )
    return held.write(values.baseline, nats, context, words, {"parameters": parameters})
