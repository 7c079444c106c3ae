"""Training's figures for other programs to show: TensorBoard, Weights & Biases, MLflow.

They are fed in the process that watches the training, with what the page of the run is fed with.
Each library is asked for by the machine and imported only then. What a sink is to be told once it
is told once: a note in the work folder says how far it was told, so that a run that goes on from a
checkpoint tells the rest. Where training itself goes back, the steps since are told again.
"""

import dataclasses
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm.durable import write_json
from llm.step import BadInput, Context, Reporter

NOTE = "sinks.json"  # in the work folder: the run's name, and the last step that was told
PROJECT = "penstock"  # what W&B calls a project and MLflow an experiment
FLUSH_SECONDS = 2.0
MOST_METRICS = 1000  # that MLflow takes at once


class Sink:
    """Somewhere that the figures of a run go. Errors are the library's own."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """The figures of a step. A step that is not above the one before replaces those since."""
        raise AssertionError("a sink logs in its own way")

    def flush(self) -> None:
        """Write what was logged, as far as the library leaves that to its users."""

    def close(self) -> None:
        """Write what was logged and end."""


class TensorBoard(Sink):
    """Event files in a folder of the run's own, without torch or TensorFlow."""

    def __init__(self, folder: Path, name: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.event, self.session, self.summary = Event, SessionLog, Summary
        self.writer = EventFileWriter(str(folder / "tensorboard" / name))
        self.last = 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = time.time()
        if step <= self.last:  # TensorBoard drops what it has from this step on
            start = self.session(status=self.session.START)
            self.writer.add_event(self.event(wall_time=now, step=step, session_log=start))
        self.last = step
        each = [self.summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self.writer.add_event(
            self.event(wall_time=now, step=step, summary=self.summary(value=each))
        )

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases(Sink):
    """A run of W&B, which reads its own variables: WANDB_MODE=offline only writes the folder.

    The figures' own `step` is their axis: W&B's counter cannot go back.
    """

    def __init__(self, folder: Path, name: str) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(console="off", silent=True, disable_git=True)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=name,
            id=name,
            resume="allow",
            dir=str(folder),
            settings=settings,
        )
        self.run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({"step": step, **values})

    def close(self) -> None:
        self.run.finish()


class MLflow(Sink):
    """A run of MLflow, at MLFLOW_TRACKING_URI; without that variable in a database of the folder's."""

    def __init__(self, folder: Path, name: str) -> None:
        from mlflow.entities import Metric
        from mlflow.tracking import MlflowClient

        folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder.resolve()}/mlflow.db")
        self.client, self.metric = MlflowClient(tracking_uri=uri), Metric
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self.client.get_experiment_by_name(wanted)
        number = experiment.experiment_id if experiment else self.client.create_experiment(wanted)
        found = self.client.search_runs([number], f"tags.mlflow.runName = '{name}'")
        run = found[0] if found else self.client.create_run(number, run_name=name)
        self.run_id = run.info.run_id
        self.client.update_run(self.run_id, status="RUNNING")
        self.waiting: list[Any] = []

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        self.waiting += [self.metric(key, value, now, step) for key, value in values.items()]
        if len(self.waiting) > MOST_METRICS // 2:
            self.flush()

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        for first in range(0, len(waiting), MOST_METRICS):
            batch = waiting[first : first + MOST_METRICS]
            self.client.log_batch(self.run_id, metrics=batch)

    def close(self) -> None:
        self.flush()
        self.client.set_terminated(self.run_id)


KINDS: Mapping[str, Callable[[Path, str], Sink]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


class SinkReporter(Reporter):
    """Passes on all that a reporter is told, and tells the sinks the points of the loss curve too.

    A sink that fails is left out from there on, with a warning: it is not worth a training run.
    """

    def __init__(self, report: Reporter, sinks: Mapping[str, Sink], work: Path) -> None:
        self.report, self.sinks, self.note = report, dict(sinks), work / NOTE
        self.name, self.told = _read(self.note)
        self.last = 0
        self.flushed = time.monotonic()

    def progress(self, done: float, total: float | None, unit: str) -> None:
        self.report.progress(done, total, unit)

    def info(self, message: str) -> None:
        self.report.info(message)

    def warning(self, message: str) -> None:
        self.report.warning(message)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        self.report.table(name, rows, description)

    def series(self, name: str, point: Mapping[str, float]) -> None:
        """A point with its step, for the curve and for the sinks."""
        self.report.series(name, point)
        step = int(point["step"])
        if step <= self.last:
            self.told = step - 1
        self.last = step
        if step <= self.told:
            return
        self.told = step
        values = {key: float(value) for key, value in point.items() if key != "step"}
        for sink in list(self.sinks):
            self._try(sink, lambda one: one.log(step, values))
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Have all sinks write what they were told, and note how far that was."""
        self.flushed = time.monotonic()
        for sink in list(self.sinks):
            self._try(sink, lambda one: one.flush())
        write_json(self.note, {"name": self.name, "told": self.told})

    def close(self) -> None:
        """End all sinks."""
        self.flush()
        for sink in list(self.sinks):
            self._try(sink, lambda one: one.close())

    def _try(self, name: str, act: Callable[[Sink], None]) -> None:
        try:
            act(self.sinks[name])
        except Exception as error:  # whatever the library raises
            del self.sinks[name]
            self.report.warning(
                f"{name} gets no more figures of this run ({type(error).__name__}: {error}); "
                "metrics.jsonl has everything"
            )


@contextmanager
def sinks_beside(context: Context) -> Iterator[Context]:
    """The context whose reporter has the machine's sinks beside it while the block lasts.

    Raises BadInput for a sink whose library is missing, or that cannot be opened.
    """
    machine = context.machine
    if not machine.sinks:
        yield context
        return
    folder = Path(machine.sinks_folder) if machine.sinks_folder else context.work / "sinks"
    note = context.work / NOTE
    if not note.exists():
        step, key = context.work.parent.parent.name, context.work.parent.name
        name = f"{step}-{key[:8]}-{uuid.uuid4().hex[:6]}"
        write_json(note, {"name": name, "told": 0})
    opened = _open(machine.sinks, folder, _read(note)[0])
    reporter = SinkReporter(context.report, opened, context.work)
    try:
        yield dataclasses.replace(context, report=reporter)
    finally:
        reporter.close()


def _open(names: Sequence[str], folder: Path, run: str) -> dict[str, Sink]:
    opened: dict[str, Sink] = {}
    for name in names:
        try:
            opened[name] = KINDS[name](folder, run)
        except ImportError as error:
            raise BadInput(
                f"machine.sinks names {name}, which is not installed ({error}): "
                f"run `pip install -e '.[{name}]'`, or leave it out"
            ) from error
        except Exception as error:  # whatever the library raises
            raise BadInput(
                f"machine.sinks: {name} cannot be opened ({type(error).__name__}: {error}): set it "
                "up, or leave it out"
            ) from error
    return opened


def _read(note: Path) -> tuple[str, int]:
    found = json.loads(note.read_bytes())
    return found["name"], found["told"]
