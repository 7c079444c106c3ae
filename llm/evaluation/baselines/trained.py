"""The trained baselines, LSTM and CNN, scored on the validation shards in windows as models are."""

from llm.evaluation.suite import Baseline, MeasureBaseline
from llm.step import BadInput, Context, Inputs, StepResult
from llm.training.baseline.settings import CNNBaseline, LSTMBaseline

LIBRARIES = ("torch", "tokenizers")

NAMES = {"lstm": "LSTM", "cnn": "causal CNN"}

BASELINE = Baseline(
    titles=NAMES,
    settings={"lstm": LSTMBaseline, "cnn": CNNBaseline},
    inputs=("tokens", "tokenizer"),
    trains="llm.training.baseline.step:train_baseline",
)


def measure(
    values: MeasureBaseline[LSTMBaseline | CNNBaseline], inputs: Inputs, context: Context
) -> StepResult:
    """Score the validation shards.

    inputs: model (the training's artifact), tokens (all tokenize artifacts), tokenizer.
    Raises BadInput where no document is held out.
    """
    import numpy as np

    from llm.evaluation.held_tokens import held_tokens, vocabulary_of
    from llm.evaluation.scoring import PRECISIONS, score
    from llm.models.baselines import folder as baseline_folder
    from llm.training import devices
    from llm.training.work import MODEL

    scoring = values.scoring
    held = held_tokens(inputs["tokens"], values.limit_bytes)
    _, end_of_text = vocabulary_of(inputs["tokenizer"][0])
    device = devices.choose(context.machine.device)
    model = baseline_folder.load(inputs["model"][0] / MODEL, device, PRECISIONS[scoring.precision])
    row = values.settings.training.context_length
    length = scoring.context_length or row
    stride = scoring.stride or length // 2
    if stride > length:
        raise BadInput(
            f"evaluate.perplexity.stride {stride} is more than the {length} tokens that the "
            f"{NAMES[values.name]} was trained on at once: lower it, or raise "
            f"evaluate.{values.name}.training.context_length"
        )
    texts = [np.concatenate([[end_of_text], one]) for one in held.tokens]

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "tokens")

    scored = score(model, texts, length, stride, progress=progress)
    nats = [float(each.sum()) for each in scored]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    words = (
        f"{NAMES[values.name]} of {parameters:,} parameters, context of {length} tokens in "
        f"windows {stride} tokens apart; {scoring.precision}"
    )
    return held.write(values.name, nats, context, words)
