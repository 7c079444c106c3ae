"""Killed anywhere, on any number of processes, training ends in the same bits."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from llm.step import Inputs
from llm.training.incidents import Incidents
from llm.training.plan import SpikeSettings
from llm.training.ranks.guard import STOPPED
from llm.training.schedule import ScheduleSettings
from llm.training.work import CHECKPOINTS, METRICS, MODEL, STARTED
from tests.llm.training.runs import Outcome, Zygote, outcome, prepared, tiny_settings
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def undisturbed(
    zygote: Zygote, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """The outcome of one process that nobody disturbed."""
    work = tmp_path_factory.mktemp("undisturbed")
    assert zygote.run(1, prepared(tiny_settings(), inputs, work)) == [0]
    return outcome(work)


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_the_number_of_processes_does_not_change_a_bit(
    processes: int, zygote: Zygote, inputs: Inputs, undisturbed: Outcome, tmp_path: Path
) -> None:
    assert zygote.run(processes, prepared(tiny_settings(), inputs, tmp_path)) == [0] * processes
    assert outcome(tmp_path) == undisturbed


def steps_told(work: Path) -> int:
    """Steps in a run's log."""
    log = work / METRICS
    return log.read_bytes().count(b"\n") if log.exists() else 0


def kill_until_finished(zygote: Zygote, job: Path, sizes: list[int], seed: int, kills: int) -> int:
    """Kill the process group again and again at random moments, then let it end; the kills."""
    chance = random.Random(seed)
    work, landed = job.parent, 0
    for _ in range(kills):
        if (work / MODEL).exists():
            break

        def disturb(group: int) -> None:
            until = time.monotonic() + 60  # a kill may come too late, which is counted
            if chance.random() < 0.5:  # while a checkpoint is being written, half of the time
                torn = set((work / CHECKPOINTS).glob(".step-*.tmp"))
                while time.monotonic() < until and not (work / MODEL).exists():
                    if set((work / CHECKPOINTS).glob(".step-*.tmp")) - torn:
                        break
            else:  # some steps on, wherever that is in one; how long steps take is the machine's
                wanted = steps_told(work) + chance.randint(0, 3)
                while time.monotonic() < until and not (work / MODEL).exists():
                    if steps_told(work) >= wanted:
                        break
                time.sleep(chance.uniform(0, 0.02))
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                return  # it had ended by itself

        statuses = zygote.run(chance.choice(sizes), job, disturb)
        landed += -signal.SIGKILL in statuses
    assert set(zygote.run(sizes[-1], job)) == {0}
    return landed


def test_killed_runs_end_in_the_same_bits(
    zygote: Zygote, inputs: Inputs, undisturbed: Outcome, tmp_path: Path
) -> None:
    """Each try on another number of processes, killed at random and inside checkpoints."""
    settings = tiny_settings(checkpoint_every=1)
    job = prepared(settings, inputs, tmp_path)
    assert kill_until_finished(zygote, job, [1, 2, 4], seed=5, kills=6) >= 2
    assert outcome(tmp_path) == undisturbed


def test_a_run_that_goes_back_ends_in_the_same_bits_killed_or_not_on_any_number_of_processes(
    zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    """It learns next to nothing, so that its loss wavers, and what it takes for a leap is little."""
    settings = tiny_settings(
        tokens=40 * 128,
        schedule=ScheduleSettings(peak_lr=1e-6, warmup_tokens=256, decay_fraction=0.2),
        spikes=SpikeSettings(factor=1.006),
    )
    jobs = [prepared(settings, inputs, tmp_path / name) for name in ("one", "two", "killed")]
    assert zygote.run(1, jobs[0]) == [0]
    assert zygote.run(2, jobs[1]) == [0, 0]
    kill_until_finished(zygote, jobs[2], [1, 2, 4], seed=3, kills=3)
    skipped = [Incidents.read(job.parent).counts()["skipped"] for job in jobs]
    assert skipped[0] == skipped[1] == skipped[2] and len(skipped[0]) >= 2
    assert outcome(jobs[0].parent) == outcome(jobs[1].parent) == outcome(jobs[2].parent)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_twenty_kills_end_in_the_same_bits(
    processes: int, zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    settings = tiny_settings(tokens=600 * 128, checkpoint_every=7)
    assert zygote.run(1, prepared(settings, inputs, tmp_path / "undisturbed")) == [0]
    job = prepared(settings, inputs, tmp_path / "killed")
    assert kill_until_finished(zygote, job, [processes], seed=processes, kills=20) >= 10
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "undisturbed")


def test_a_request_to_stop_ends_in_a_checkpoint_and_the_same_bits(
    zygote: Zygote, inputs: Inputs, undisturbed: Outcome, tmp_path: Path
) -> None:
    job = prepared(tiny_settings(checkpoint_every=1000), inputs, tmp_path)

    def disturb(group: int) -> None:
        wait_for((tmp_path / "metrics.jsonl").exists, 0.001)
        os.killpg(group, signal.SIGTERM)

    assert zygote.run(2, job, disturb) == [STOPPED, STOPPED]
    assert len(list((tmp_path / CHECKPOINTS).glob("step-*"))) == 1
    assert zygote.run(4, job) == [0] * 4
    assert outcome(tmp_path) == undisturbed


def test_more_tokens_go_on_from_the_trunk_to_the_bits_of_a_run_from_scratch(
    zygote: Zygote, inputs: Inputs, undisturbed: Outcome, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    assert zygote.run(2, prepared(tiny_settings(), inputs, short)) == [0, 0]
    longer = tiny_settings(tokens=18 * 128)
    with_trunk = prepared(longer, {**inputs, "trunk": [short]}, tmp_path / "on")
    scratch = prepared(longer, inputs, tmp_path / "scratch")
    assert zygote.run(2, with_trunk) == [0, 0]
    assert json.loads((tmp_path / "on" / STARTED).read_text()) == {"step": 6, "warnings": []}
    assert zygote.run(1, scratch) == [0]
    assert outcome(tmp_path / "on") == outcome(tmp_path / "scratch")
    assert outcome(tmp_path / "on").model != undisturbed.model


@pytest.mark.parametrize(
    "changes",
    [{"seed": 2}, {"clip": None}, {"tokens": 6 * 128}],
    ids=["another seed", "another clip", "a decay that began before the trunk"],
)
def test_a_trunk_that_does_not_fit_is_left_alone(
    changes: dict[str, int], zygote: Zygote, inputs: Inputs, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    assert zygote.run(1, prepared(tiny_settings(), inputs, short)) == [0]
    other = tiny_settings(**changes)
    job = prepared(other, {**inputs, "trunk": [short]}, tmp_path / "other")
    assert '"start": null' in job.read_text()
