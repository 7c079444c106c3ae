"""How long pretraining takes here, and in how much memory: its first steps, made and thrown away.

The ranks, the loop and the machine's settings are those of the real run; the tokens are made up.
What depends on how long the run is to be, or on the corpus, is left out: an answer holds for runs of
any length. A step's cost grows with its micro-batches, so one of each part is enough.
"""

import dataclasses
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llm.durable import empty_folder, file_digest, write_bytes, write_json
from llm.machine import Machine
from llm.parts import load
from llm.step import Context
from llm.tokens.shards import ShardColumns, token_type, write_shard
from llm.training.pretrain import step as pretrain
from llm.training.pretrain.settings import PretrainSettings
from llm.training.ranks import launch
from llm.training.ranks.memory import PeakMemory
from llm.training.scaling.cost import FLOAT, checkpoint_steps, flat_elements
from llm.training.schedule import ScheduleSettings
from llm.training.work import BUFFERS, CHECKPOINT_NOTE, CHECKPOINTS, JOB, LOG, METRICS, STARTED

STEPS_SECONDS = 10.0  # of steps, after the first one
FEWEST_STEPS = 6  # the first one apart, before which it goes on for longer
MOST_SECONDS = 60.0  # then it ends with what there is
POLL_SECONDS = 0.1
WRITTEN = 1 << 28  # bytes, at most, to see how fast the disk is
ENDLESS_STEPS = 1 << 30
TOKENS = 1 << 18  # that are made up, at least
DOCUMENT_TOKENS = 400  # of a document on average


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """What a trial has shown.

    start_seconds: until the first step. step_seconds: of a step with `part_rows` rows in its largest
    part. checkpoint_seconds: to write one. end_seconds: from the last checkpoint on.
    memory_bytes: the most that all processes held together (None: the system does not tell);
    device_bytes: the most that a GPU held (None: there is none). steps: how many were made.
    """

    start_seconds: float
    step_seconds: float
    part_rows: int
    checkpoint_seconds: float
    end_seconds: float
    memory_bytes: int | None
    device_bytes: int | None
    steps: int
    processes: int

    def seconds_per_step(self, values: PretrainSettings) -> float:
        """How long a step of the run takes."""
        return self.step_seconds * part_rows(values) / self.part_rows

    def seconds(self, values: PretrainSettings, done: int = 0) -> float:
        """How long a run takes of which `done` steps are done.

        Measuring the loss on the validation slice takes a third of training on it: the forward
        pass of three.
        """
        steps: float = values.steps - done
        if values.validate_every:
            slice_steps = values.validation_tokens / values.batch_tokens / 3
            steps += slice_steps * math.ceil(steps / values.validate_every)
        # The trunk's is written twice; the model is one of a checkpoint's buffers.
        writes = 1 + 1 / BUFFERS + sum(number > done for number in checkpoint_steps(values))
        checkpoints = self.checkpoint_seconds * writes
        steps_seconds = self.seconds_per_step(values) * steps
        return self.start_seconds + steps_seconds + checkpoints + self.end_seconds


def trial_settings(values: PretrainSettings, machine: Machine) -> PretrainSettings:
    """The settings with all that changes neither the time of a micro-batch nor its memory as in any
    other trial: what a trial's result holds for.
    """
    length = values.model.context_length
    rows = min(part_rows(values), launch.micro_batch(machine, length))
    batch_tokens = values.data_parallel * rows * length
    return dataclasses.replace(
        values,
        tokens=ENDLESS_STEPS * batch_tokens,
        batch_tokens=batch_tokens,
        schedule=ScheduleSettings(decay_fraction=0.0),
        checkpoint_every=ENDLESS_STEPS,
        keep_last=1,
        keep_every=None,
        mix={},
        validate_every=None,
        init=None,
        seed=1,
    )


def measure(values: PretrainSettings, vocabulary: int, machine: Machine, folder: Path) -> Trial:
    """Make the first steps of pretraining in `folder`, which is emptied first.

    Takes some STEPS_SECONDS and what starting takes, MOST_SECONDS at most but for the ending.
    Raises BadInput and launch.TrainingError as training does, and TrainingError when the time was
    not enough for a step.
    """
    tried = trial_settings(values, machine)
    work = empty_folder(folder) / "work"
    work.mkdir()
    context = Context(out=work, work=work, machine=machine)
    inputs = _made_up(folder, vocabulary, tried)
    job = pretrain.prepare(tried, inputs, context)
    write_json(work / JOB, job)
    processes = launch.processes_for(machine, tried.data_parallel)
    began = time.time()
    with (
        (work / LOG).open("wb") as log,
        launch.guarded(pretrain.__name__, job, work, processes, log.fileno()) as agent,
        PeakMemory(agent.pid) as memory,
    ):
        while agent.poll() is None and not _is_enough(work, time.time() - began):
            time.sleep(POLL_SECONDS)
        if agent.poll() is not None:
            raise launch.failure(work, agent.returncode)
        launch.stop(agent)
    ended = time.time()
    points = _points(work)
    if not points:
        raise launch.TrainingError(f"not one step was done in {MOST_SECONDS:.0f} s")
    notes = (work / CHECKPOINTS).glob(
        f"step-*/{CHECKPOINT_NOTE}"
    )  # none where the ranks had to be killed
    written = max((note.stat().st_mtime for note in notes), default=ended)
    checkpoint = BUFFERS * FLOAT * flat_elements(tried.model.resolve(vocabulary))
    most = int(max(point["memory_bytes"] for point in points))
    return Trial(
        start_seconds=(work / STARTED).stat().st_mtime - began,
        step_seconds=_step_seconds(points, tried),
        part_rows=part_rows(tried),
        checkpoint_seconds=_write_seconds(folder / "written", checkpoint),
        end_seconds=ended - written,
        memory_bytes=memory.bytes,
        device_bytes=most if launch.on_gpu(machine.device) else None,
        steps=len(points),
        processes=processes,
    )


def part_rows(values: PretrainSettings) -> int:
    """Rows of the largest of a step's parts, which the others wait for."""
    return math.ceil(values.rows / values.data_parallel)


def _is_enough(work: Path, seconds: float) -> bool:
    """Whether the steps that were made tell how long one takes, or there is no more time."""
    if seconds > MOST_SECONDS:
        return True
    if not (work / METRICS).exists():
        return False
    since_start = time.time() - (work / STARTED).stat().st_mtime
    return since_start > STEPS_SECONDS and len(_points(work)) > FEWEST_STEPS


def _points(work: Path) -> list[dict[str, float]]:
    """The whole lines of metrics.jsonl."""
    path = work / METRICS
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _step_seconds(points: list[dict[str, float]], values: PretrainSettings) -> float:
    """Of a usual step: the mean of the second half, for the first ones prepare for the others."""
    usual = points[len(points) // 2 :]
    return statistics.fmean(values.batch_tokens / point["tokens_per_second"] for point in usual)


def _write_seconds(path: Path, size: int) -> float:
    """To write a checkpoint of `size` bytes as training does: synced, and read for its digest."""
    block = np.random.default_rng(0).bytes(min(size, WRITTEN))
    began = time.monotonic()
    write_bytes(path, block)
    file_digest(path)
    return (time.monotonic() - began) * size / len(block)


def _made_up(folder: Path, vocabulary: int, values: PretrainSettings) -> dict[str, list[Path]]:
    """A tokenizer of `vocabulary` words and a shard of documents of random ones, as inputs."""
    special = load("objective", values.objective.type).marks
    words = [*special, *(f"w{number}" for number in range(vocabulary - len(special)))]
    tokenizer, tokens = folder / "tokenizer", folder / "tokens"
    tokenizer.mkdir()
    tokens.mkdir()
    known = {word: number for number, word in enumerate(words)}
    Tokenizer(WordLevel(known)).save(str(tokenizer / "tokenizer.json"))
    random = np.random.default_rng(0)
    size = max(TOKENS, 4 * values.batch_tokens)
    lengths = 1 + random.geometric(1 / DOCUMENT_TOKENS, size // DOCUMENT_TOKENS)
    count, total = len(lengths), int(lengths.sum())
    columns = ShardColumns(
        doc_ids=[bytes(16)] * count,
        sources=["trial"] * count,
        sizes=lengths,
        lengths=lengths,
        tokens=random.integers(0, vocabulary, total).astype(token_type(vocabulary)),
    )
    write_shard(tokens / "train.arrow", columns, {"tokenizer": "trial"})
    return {"tokens": [tokens], "tokenizer": [tokenizer]}
