"""Sinks, each read back by its own library; none touches the network or can stop a training."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm.machine import Machine
from llm.step import BadInput, Context, Reporter
from tasks.engine import sinks
from tasks.engine.sinks import Sink, sinks_beside
from tests.llm.training.ranks.test_launch import Listener

POINTS = [
    {"step": step, "tokens": 128 * step, "loss": 4 / step, "lr": 0.01} for step in range(1, 6)
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        assert isinstance(address, str) or address[0] in ("127.0.0.1", "::1"), address
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


def beside(tmp_path: Path, *names: Any, report: Reporter | None = None) -> Context:
    work = tmp_path / "work/pretrain/0123456789abcdef/work"
    work.mkdir(parents=True, exist_ok=True)
    machine = Machine(sinks=names, sinks_folder=str(tmp_path / "sinks"))
    return Context(out=work, work=work, report=report or Reporter(), machine=machine)


def tell(context: Context, *points: Mapping[str, float]) -> None:
    with sinks_beside(context) as told:
        for point in points:
            told.report.series("loss", point)


def scalars(tmp_path: Path, tag: str) -> dict[int, float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [folder] = (tmp_path / "sinks/tensorboard").iterdir()
    assert folder.name.startswith("pretrain-01234567-")
    found = EventAccumulator(str(folder))
    found.Reload()
    return {event.step: event.value for event in found.Scalars(tag)}


def test_tensorboard_shows_every_figure_of_every_step(tmp_path: Path) -> None:
    tell(beside(tmp_path, "tensorboard"), *POINTS)
    for tag in ("tokens", "loss", "lr"):
        assert scalars(tmp_path, tag) == pytest.approx({p["step"]: p[tag] for p in POINTS})


def test_a_run_that_goes_on_tells_the_rest_in_the_same_curve(tmp_path: Path) -> None:
    tell(beside(tmp_path, "tensorboard"), *POINTS[:3])
    tell(beside(tmp_path, "tensorboard"), *POINTS)  # the log is read from its start again
    assert scalars(tmp_path, "loss") == pytest.approx({p["step"]: p["loss"] for p in POINTS})


def test_steps_after_training_went_back_replace_those_before(tmp_path: Path) -> None:
    again = {**POINTS[2], "loss": 9.0}
    tell(beside(tmp_path, "tensorboard"), *POINTS, again)
    assert scalars(tmp_path, "loss") == pytest.approx({1: 4.0, 2: 2.0, 3: 9.0})


class Remembering(Sink):
    """Keeps what it is told, and fails at a step."""

    told: list[int]

    def __init__(self, fails_at: int | None = None) -> None:
        self.told, self.fails_at, self.closed = [], fails_at, False

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step == self.fails_at:
            raise ConnectionError("the server is gone")
        self.told.append(step)

    def close(self) -> None:
        self.closed = True


def test_each_step_is_told_once_over_all_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setitem(sinks.KINDS, "tensorboard", lambda folder, name: told[-1])
    for steps in (range(1, 4), range(1, 3), range(1, 6)):
        told.append(Remembering())
        tell(beside(tmp_path, "tensorboard"), *(POINTS[step - 1] for step in steps))
    assert [one.told for one in told] == [[1, 2, 3], [], [4, 5]]
    assert all(one.closed for one in told)


def test_a_sink_that_fails_costs_a_warning_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good, listener = Remembering(fails_at=3), Remembering(), Listener()
    monkeypatch.setitem(sinks.KINDS, "wandb", lambda folder, name: bad)
    monkeypatch.setitem(sinks.KINDS, "mlflow", lambda folder, name: good)
    tell(beside(tmp_path, "wandb", "mlflow", report=listener), *POINTS)
    assert (bad.told, good.told) == ([1, 2], [1, 2, 3, 4, 5])
    assert listener.points == POINTS
    [warning] = listener.warnings
    assert "wandb gets no more figures" in warning and "the server is gone" in warning


def test_a_library_that_is_missing_is_named_before_training_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(folder: Path, name: str) -> Sink:
        raise ModuleNotFoundError("No module named 'wandb'")

    monkeypatch.setitem(sinks.KINDS, "wandb", missing)
    with pytest.raises(BadInput, match=r"pip install -e '\.\[wandb\]'"):
        tell(beside(tmp_path, "wandb"))


def test_without_sinks_nothing_is_written(tmp_path: Path) -> None:
    context = beside(tmp_path)
    with sinks_beside(context) as told:
        assert told is context
    assert not list(context.work.iterdir()) and not (tmp_path / "sinks").exists()


def test_wandb_offline_writes_a_run_and_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is an extra: pip install -e '.[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tell(beside(tmp_path, "wandb"), *POINTS)
    [run] = (tmp_path / "sinks/wandb").glob("offline-run-*")
    [written] = run.glob("*.wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    # A header of 7 bytes, then LevelDB's log format: checksum, length, kind, and the record.
    data, at, losses = written.read_bytes(), 7, {}
    assert len(data) < 32_768  # one block, so that every record is whole
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 6], "little")
        record = Record.FromString(data[at + 7 : at + 7 + size])
        at += 7 + size
        row = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        if "loss" in row:
            losses[json.loads(row["step"])] = json.loads(row["loss"])
    assert losses == pytest.approx({p["step"]: p["loss"] for p in POINTS})


def test_mlflow_keeps_the_run_on_disk_and_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is an extra: pip install -e '.[mlflow]'")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tell(beside(tmp_path, "mlflow"), *POINTS[:3])
    tell(beside(tmp_path, "mlflow"), *POINTS)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/sinks/mlflow.db")
    [experiment] = client.search_experiments(filter_string="name = 'penstock'")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name.startswith("pretrain-01234567-") and run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(p["step"], p["loss"]) for p in POINTS]
