"""What pretraining takes, by formula: parameters, tokens, operations, bytes. Nothing is made.

Bytes are those that the step writes: weights in float32, checkpoints of three flat buffers, a line
a step in two logs. Time and the memory of activations depend on the machine: see trial.py.
"""

from dataclasses import dataclass

from llm.models.config import ModelConfig
from llm.training.objectives.settings import sizes
from llm.training.pretrain.settings import PretrainSettings
from llm.training.scaling.peaks import peak_flops
from llm.training.schedule import decay_start
from llm.training.work import BUFFERS

FLOAT = 4  # bytes of a float32
CHUNK = 1 << 15  # elements: what matrices and vectors are rounded up to in a buffer (reduce.py)
METRICS_LINE = 195  # bytes of a step in metrics.jsonl (meter.py), with floats of usual length
SEEN_LINE = 27  # bytes of a step in seen.jsonl, but for the numbers of the rows
UTILISATION = 0.4  # of a GPU's peak, where nothing was measured: what well-fed training reaches
TOKENIZER_ENTRY = 70  # bytes of tokenizer.json for each token of a BPE: its text and its merge


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run takes wherever it runs.

    flops: floating-point operations of all steps, forward and backward. artifact_bytes: model/,
    trunk/ and logs; work_bytes: the most that lies in the work folder, the finished artifact
    included. state_bytes: parameters, moments and gradients, the least that memory has to hold.
    """

    parameters: int
    vocabulary: int
    steps: int
    tokens: int
    flops: int
    artifact_bytes: int
    work_bytes: int
    state_bytes: int


def cost(
    values: PretrainSettings,
    config: ModelConfig,
    tokenizer_bytes: int | None = None,
    corpus_tokens: int | None = None,
) -> Cost:
    """What pretraining with these settings takes; `config` is the model with its vocabulary.

    tokenizer_bytes: of tokenizer.json (None: not made yet, guessed). corpus_tokens: in the training
    split (None: not known yet, as many as are read); row numbers are as long as it makes them.
    """
    if tokenizer_bytes is None:
        tokenizer_bytes = TOKENIZER_ENTRY * config.vocabulary
    flat = FLOAT * flat_elements(config)
    model = FLOAT * config.parameters + tokenizer_bytes
    artifact = model + BUFFERS * flat + log_bytes(values, corpus_tokens)
    return Cost(
        parameters=config.parameters,
        vocabulary=config.vocabulary,
        steps=values.steps,
        tokens=values.steps * values.batch_tokens,
        flops=values.steps * step_flops(values, config),
        artifact_bytes=artifact,
        # The artifact's files lie in the work folder, and as copies beside it until the end.
        work_bytes=2 * artifact + len(kept_checkpoints(values)) * BUFFERS * flat,
        state_bytes=(BUFFERS + values.data_parallel) * flat,
    )


def seconds_at_peak(flops: int, device: str) -> float | None:
    """How long a device takes that does UTILISATION of its peak; None where that is not known."""
    peak = peak_flops(device)
    return None if peak is None else flops / (UTILISATION * peak)


def flat_elements(config: ModelConfig) -> int:
    """Elements of a flat buffer: matrices, then vectors, each rounded up to whole chunks."""
    d = config.d_model
    matrices = config.matrix_parameters
    matrices += 0 if config.tie_embeddings else config.vocabulary * d
    matrices += config.context_length * d if config.positions == "learned" else 0
    matrices += config.token_types * d
    matrices += d * d + 2 * d if config.next_sentence else 0
    vectors = config.parameters - matrices
    return sum(-(-elements // CHUNK) * CHUNK for elements in (matrices, vectors))


def step_flops(values: PretrainSettings, config: ModelConfig) -> int:
    """Floating-point operations of one step, forward and backward (padding counts as tokens do)."""
    objective, length = values.objective, config.context_length
    if objective.type == "span_corruption":
        hidden, spans = sizes(length, objective.rate, objective.mean_span)
        targets, sources = hidden + spans + 1, length - hidden + spans
        return values.rows * targets * config.training_flops_per_token(targets, sources)
    scored = 1.0 if objective.type == "next_token" else objective.rate
    return values.batch_tokens * config.training_flops_per_token(length, scored=scored)


def checkpoint_steps(values: PretrainSettings) -> list[int]:
    """The steps after which a checkpoint is written, ascending."""
    return sorted({*_regular(values), values.steps})


def kept_checkpoints(values: PretrainSettings) -> list[int]:
    """Those that are there when the last one has been written, ascending."""
    regular, every = _regular(values), values.keep_every
    kept = {step for step in regular if every is not None and step % every == 0}
    return sorted({*kept, *regular[-values.keep_last :], values.steps})


def _regular(values: PretrainSettings) -> list[int]:
    """Steps with a checkpoint that the run can go back to: at a fixed interval, and the trunk's."""
    trunk = decay_start(values.schedule, values.steps, values.batch_tokens)
    every = values.checkpoint_every
    return sorted({*range(every, values.steps + 1, every), trunk} - {0})


def log_bytes(values: PretrainSettings, corpus_tokens: int | None = None) -> int:
    """Bytes of metrics.jsonl and seen.jsonl, which lists the rows of each step by number."""
    read = values.steps * values.batch_tokens
    rows = min(read, corpus_tokens or read) // values.model.context_length
    number = len(str(rows)) + 2  # digits, comma and space
    return values.steps * (METRICS_LINE + SEEN_LINE + values.rows * number)
