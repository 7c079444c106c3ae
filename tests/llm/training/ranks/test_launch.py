"""Ranks never outlive who started them, and say why they failed."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from llm.durable import write_json
from llm.machine import Machine
from llm.parts import chosen
from llm.step import BadInput, Context, Inputs, Reporter
from llm.training.pretrain.step import prepare, pretrain
from llm.training.ranks import launch
from llm.training.ranks.guard import NO_SPACE
from llm.training.work import CHECKPOINTS, JOB, METRICS, STARTED, Log
from tasks.engine.sinks import sinks_beside
from tests.llm.training.runs import Zygote, prepared, tiny_settings
from tests.waiting import wait_for


class Listener(Reporter):
    """Keeps what it is told; `at_step` raises what a cancellation would raise there."""

    def __init__(self, raise_at: int | None = None) -> None:
        self.points: list[dict[str, float]] = []
        self.warnings: list[str] = []
        self.progressed: list[tuple[float, float | None, str]] = []
        self.raise_at = raise_at

    def progress(self, done: float, total: float | None, unit: str) -> None:
        self.progressed.append((done, total, unit))

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def series(self, name: str, point: Any) -> None:
        self.points.append(dict(point))
        if self.raise_at and point["step"] >= self.raise_at:
            raise KeyboardInterrupt


def step_context(tmp_path: Path, report: Reporter, processes: int = 2, **more: Any) -> Context:
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "work").mkdir(exist_ok=True)
    machine = Machine(processes=processes, device="cpu", **more)
    return Context(out=tmp_path / "out", work=tmp_path / "work", report=report, machine=machine)


def running(job: Path) -> list[psutil.Process]:
    """The processes (torchrun, ranks) that work on a job file."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(job) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # it ended while it was looked at
    return found


def test_an_interrupted_step_checkpoints_and_its_retry_ends_as_if_nothing_had_been(
    inputs: Inputs, tmp_path: Path
) -> None:
    """The whole way: torchrun, two ranks, Ctrl-C, again; against one process undisturbed."""
    settings = tiny_settings(tokens=4000 * 128, checkpoint_every=100_000)
    told: Any = {"sinks": ("tensorboard",), "sinks_folder": str(tmp_path / "sinks")}
    context = step_context(tmp_path, Listener(raise_at=3), **told)
    with pytest.raises(KeyboardInterrupt), sinks_beside(context) as beside:
        pretrain(settings, inputs, beside)
    assert running(context.work / JOB) == []
    (checkpoint,) = (context.work / CHECKPOINTS).iterdir()
    done = int(checkpoint.name.split("-")[1])
    assert 3 <= done < 4000
    assert len((context.work / METRICS).read_text().splitlines()) == done
    # Another length, whose decay is still to come: its identity is the same, so the checkpoint stands
    # in for one of its own.
    steps = 2 * (done + 5)
    short = tiny_settings(tokens=steps * 128)
    listener = Listener()
    with sinks_beside(step_context(tmp_path, listener, **told)) as beside:
        result = pretrain(short, inputs, beside)
    assert result.counts["steps"] == steps
    [curve] = (tmp_path / "sinks/tensorboard").iterdir()
    shown = EventAccumulator(str(curve)).Reload().Scalars("loss")
    assert [event.step for event in shown] == list(range(1, steps + 1))
    assert [point["step"] for point in listener.points] == list(range(1, steps + 1))
    assert listener.progressed[-1] == (steps * 128, steps * 128, "tokens")
    assert {path.name for path in context.out.iterdir()} == {
        "model",
        "trunk",
        "metrics.jsonl",
        "phases.jsonl",
        "seen.jsonl",
    }


def test_ranks_end_in_the_same_bytes_forked_or_started_as_programs(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On GPUs they are programs, here they are forked."""
    made = []
    for method in ("fork", "spawn"):
        monkeypatch.setattr(launch, "start_method", lambda _job, method=method: method)
        (tmp_path / method).mkdir()
        context = step_context(tmp_path / method, Listener())
        pretrain(tiny_settings(), inputs, context)
        made.append((context.out / "model" / "model.safetensors").read_bytes())
    assert made[0] == made[1]


def test_on_a_gpu_ranks_are_not_forked() -> None:
    assert launch.start_method({"device": "cuda"}) == "spawn"
    if sys.platform == "linux":
        assert launch.start_method({"device": "cpu"}) == "fork"


def test_killing_the_parent_ends_every_process_within_seconds(
    inputs: Inputs, tmp_path: Path
) -> None:
    settings = tiny_settings(tokens=10_000_000)
    context = step_context(tmp_path, Reporter())
    job = prepare(settings, inputs, context)
    (tmp_path / "given.json").write_text(json.dumps(job))
    program = (
        "import json, sys; from pathlib import Path; from llm.training.ranks import launch;"
        "from llm.machine import Machine; from llm.step import Context; root = Path(sys.argv[1]);"
        "launch.run('llm.training.pretrain.step', json.loads((root / 'given.json').read_text()),"
        "Context(out=root / 'out', work=root / 'work', machine=Machine()), 2, 100000)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    try:
        wait_for((context.work / METRICS).exists)
        processes = running(context.work / JOB)
        assert len(processes) >= 3  # torchrun and two ranks
        parent.kill()
        wait_for(lambda: running(context.work / JOB) == [])
    finally:
        parent.kill()
        parent.wait()


def test_a_rank_that_is_killed_ends_in_an_error_with_the_log(
    inputs: Inputs, tmp_path: Path
) -> None:
    context = step_context(tmp_path, Reporter())
    job = prepare(tiny_settings(tokens=10_000_000), inputs, context)

    def kill_one() -> None:
        wait_for((context.work / METRICS).exists)
        processes = running(context.work / JOB)
        started = {process.pid for process in processes}
        ranks = [process for process in processes if process.ppid() in started]
        os.kill(ranks[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(
        launch.TrainingInterrupted, match=r"(?s)SIGKILL \(out of memory.*train.log:\n.*lost another"
    ):
        launch.run("llm.training.pretrain.step", job, context, 2, 100_000)
    killer.join()
    wait_for(lambda: running(context.work / JOB) == [])


def test_what_is_wrong_with_the_input_comes_back_as_such(
    zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    job = prepared(tiny_settings(), inputs, tmp_path, Machine(device="abacus"))
    assert zygote.run(1, job) == [1]
    error = launch.failure(tmp_path, 1)
    assert isinstance(error, BadInput)
    assert "machine.device is 'abacus'" in str(error)


def test_a_full_disk_is_told_even_when_there_is_no_room_to_say_so(tmp_path: Path) -> None:
    error = launch.failure(tmp_path, NO_SPACE)
    assert isinstance(error, BadInput), "trying again cannot help"
    assert "the disk is full" in str(error) and "penstock gc" in str(error)
    assert str(tmp_path) in str(error)


def test_processes_are_at_most_one_a_part() -> None:
    assert launch.processes_for(Machine(processes=8), parts=2) == 2
    assert launch.processes_for(Machine(processes=1), parts=4) == 1
    assert 1 <= launch.processes_for(Machine(), parts=2) <= 2
    assert launch.processes_for(Machine(processes=2, device="cuda"), parts=2) == 1


def test_a_run_that_goes_back_is_told_and_followed_from_there(tmp_path: Path) -> None:
    def log(*steps: int) -> None:
        with (tmp_path / METRICS).open("a") as file:
            for step in steps:
                line = {"step": step, "tokens": 8 * step, "loss": 1.0, "lr": 0.1, "mfu": None}
                file.write(json.dumps({**line, "tokens_per_second": 1.0}) + "\n")

    listener = Listener()
    follower = launch.Follower(tmp_path, listener, 9)
    write_json(tmp_path / STARTED, {"step": 0, "warnings": []})
    log(1, 2, 3, 4, 5)
    follower.look()
    Log(tmp_path / METRICS).cut_back(3)
    write_json(tmp_path / STARTED, {"step": 3, "warnings": ["step 6: gone back"]})
    log(4, 5, 6)
    follower.look()
    follower.look()
    assert [point["step"] for point in listener.points] == [1, 2, 3, 4, 5, 4, 5, 6]
    assert listener.warnings == ["step 6: gone back"]
    assert "mfu" not in listener.points[0]


def test_on_a_gpu_the_micro_batch_starts_large() -> None:
    assert launch.micro_batch(Machine(device="cuda"), 1024) == 128
    assert launch.micro_batch(Machine(device="cpu"), 1024) == 4
    assert launch.micro_batch(Machine(device="cuda", micro_batch=3), 1024) == 3


def test_what_a_job_s_values_choose_is_imported_before_ranks_are_forked(tmp_path: Path) -> None:
    """In a process of its own: here everything is imported."""
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"parts": chosen("architecture", ["encoder_decoder"])}))
    program = (
        "import sys; from pathlib import Path; from llm.training.ranks import agent;"
        "name = 'llm.models.encoder_decoder'; assert name not in sys.modules;"
        "agent._import_what_ranks_share(Path(sys.argv[1])); assert name in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(job)], check=True)
