"""Night after night a trunk goes on, to the bits of a run from scratch over all nights."""

import dataclasses
import itertools
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llm.machine import Machine
from llm.step import Context, Inputs, Reporter
from llm.tokens.batches import NoRow
from llm.tokens.phases import Phase, Phases
from llm.tokens.shards import ShardColumns, write_shard
from llm.training import checkpoints
from llm.training.plan import identity_at
from llm.training.pretrain.continual import course
from llm.training.pretrain.continual_settings import ContinualSettings
from llm.training.pretrain.nights import inputs_of, nights_of
from llm.training.pretrain.settings import PretrainSettings
from llm.training.pretrain.step import prepare
from llm.training.pretrain.trunk import Start
from llm.training.schedule import ScheduleSettings
from llm.training.work import CHECKPOINT_NOTE, CHECKPOINTS, JOB, METRICS, STARTED, TRUNK
from tests.llm.training.runs import Zygote, outcome, prepared, tiny_settings
from tests.waiting import wait_for

IDS = 20  # tokens of night n are n * IDS to n * IDS + IDS - 1


def write_night(folder: Path, night: int, tokens: int, seed: int = 0, source: str = "docs") -> Path:
    """A tokenize artifact whose ids tell its night."""
    folder.mkdir(parents=True)
    ids = np.random.default_rng([night, seed]).integers(0, IDS, tokens) + night * IDS
    columns = ShardColumns([bytes(16)], [source], [tokens], [tokens], ids.astype(np.uint16))
    write_shard(folder / "train.arrow", columns, {"tokenizer": "test"})
    return folder


def settings(replay: float = 0.3, epochs: float = 2, **changes: int | None) -> PretrainSettings:
    """12 steps in the first night, 6 of them before the decay."""
    continual = ContinualSettings(replay=replay, epochs=epochs, **changes)
    return tiny_settings(continual=continual)


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """Three nights: two shards, one, one; 1,200, 300 and 200 tokens."""
    root = tmp_path_factory.mktemp("nights")
    sizes = [[700, 500], [300], [200]]
    return [
        [write_night(root / f"{night}-{one}", night, size, one) for one, size in enumerate(own)]
        for night, own in enumerate(sizes)
    ]


def with_nights(
    inputs: Inputs, nights: Sequence[Sequence[Path]], trunk: Path | None = None
) -> Inputs:
    """The step's inputs."""
    found = {"tokenizer": inputs["tokenizer"], **inputs_of(nights)}
    return {**found, "trunk": [trunk]} if trunk else found


@pytest.fixture(scope="session")
def continued(
    zygote: Zygote,
    inputs: Inputs,
    nights: list[list[Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """The work folders of three nights, each gone on from the trunk of the one before."""
    root, folders = tmp_path_factory.mktemp("continued"), list[Path]()
    for count in (1, 2, 3):
        before = folders[-1] if folders else None
        job = prepared(
            settings(), with_nights(inputs, nights[:count], before), root / f"night-{count}"
        )
        assert zygote.run(2, job) == [0, 0]
        folders.append(job.parent)
    return folders


def test_three_nights_are_bit_for_bit_one_run_from_scratch_over_their_phases(
    continued: list[Path],
    zygote: Zygote,
    inputs: Inputs,
    nights: list[list[Path]],
    tmp_path: Path,
) -> None:
    starts = [json.loads((folder / STARTED).read_text()) for folder in continued]
    runs = [json.loads((folder / JOB).read_text()) for folder in continued]
    assert [start["step"] for start in starts] == [0, 6, 13]  # the trunk of the night before
    assert [run["trunk_at"] for run in runs] == [6, 13, 18]
    assert not any(start["warnings"] for start in starts)
    scratch = prepared(settings(), with_nights(inputs, nights), tmp_path)
    assert zygote.run(1, scratch) == [0]
    assert json.loads((tmp_path / STARTED).read_text())["step"] == 0
    assert outcome(tmp_path) == outcome(continued[-1])
    assert read_by(tmp_path) == read_by(continued[-1])


def read_by(work: Path) -> Counter[int]:
    """The multiset of tokens that a run learned, as its log of windows has it."""
    job = json.loads((work / JOB).read_text())
    data = Phases([Phase.read(phase) for phase in job["phases"]], 16, 8, job["values"]["seed"])
    found: Counter[int] = Counter()
    for step, windows in outcome(work).windows.items():
        assert data.windows_of(step - 1).tolist() == windows
        found.update(data.batch(step - 1).targets.ravel().tolist())
    return found


def test_what_a_trunk_has_read_stays_and_what_is_new_is_read_as_often_as_asked(
    continued: list[Path],
) -> None:
    first, second, third = (outcome(folder) for folder in continued)
    assert [second.windows[step] for step in range(1, 7)] == [
        first.windows[step] for step in range(1, 7)
    ]
    assert second.losses[:6] == first.losses[:6] and third.losses[:13] == second.losses[:13]
    assert second.windows[7] != first.windows[7]
    new = (300 - 1) // 16  # windows of Tuesday's, which come first in the numbering of its phase
    read = Counter(
        window for step in range(7, 14) for window in third.windows[step] if window < new
    )
    assert set(read) == set(range(new)) and set(read.values()) <= {2, 3}


def test_the_release_decays_and_the_trunk_does_not(continued: list[Path]) -> None:
    points = [json.loads(line) for line in (continued[1] / METRICS).read_text().splitlines()]
    rates = [point["lr"] for point in points]
    assert rates[1:13] == [0.01] * 12  # the peak of tiny_settings, after a warm-up of two steps
    assert rates[13:] == pytest.approx([0.01 * (1 - step / 6) for step in range(6)])
    assert checkpoints.read(continued[1] / TRUNK).step == 13


def test_killed_within_a_later_night_it_ends_in_the_same_bits(
    continued: list[Path],
    zygote: Zygote,
    inputs: Inputs,
    nights: list[list[Path]],
    tmp_path: Path,
) -> None:
    values = dataclasses.replace(settings(), checkpoint_every=1)
    job = prepared(values, with_nights(inputs, nights[:2], continued[0]), tmp_path)

    def kill(after: int) -> None:
        def disturb(group: int) -> None:
            def is_kept() -> bool:
                kept = [int(one.name[-9:]) for one in (tmp_path / CHECKPOINTS).glob("step-*")]
                return max(kept, default=0) >= after

            wait_for(is_kept, 0)
            os.killpg(group, signal.SIGKILL)

        assert -signal.SIGKILL in zygote.run(2, job, disturb)

    kill(after=0)  # before anything of this night is kept
    kill(after=9)  # in the stable phase
    kill(after=15)  # in the decay
    assert set(zygote.run(1, job)) == {0}
    assert outcome(tmp_path) == outcome(continued[1])


@pytest.mark.parametrize("replay", [0, 0.3, 0.9])
def test_a_later_night_replays_the_asked_share_of_the_nights_before(
    replay: float, nights: list[list[Path]]
) -> None:
    shards = [[folder / "train.arrow" for folder in night] for night in nights]
    run = course(settings(replay), shards)
    data = Phases(run.phases, 16, 8, 1)
    begin, end = run.phases[2].from_step, run.trunk_at
    targets = np.concatenate([data.batch(step).targets.ravel() for step in range(begin, end)])
    assert (targets < 2 * IDS).mean() == pytest.approx(replay, abs=0.03)
    new = targets[targets >= 2 * IDS]
    assert 2 * 192 <= len(new) <= 2 * 192 + 128  # twice its 12 windows of 16, in whole steps


def test_the_worked_example(tmp_path: Path) -> None:
    values = tiny_settings(
        model=dataclasses.replace(tiny_settings().model, context_length=100),
        batch_tokens=1000,
        tokens=100_000,
        schedule=ScheduleSettings(decay_fraction=0.3),
        continual=ContinualSettings(epochs=2, replay=0.3),
    )
    sizes = {"monday": 60_001, "tuesday": 14_001, "wednesday": 0, "thursday": 7_001}
    days = [[write_night(tmp_path / day, 0, size) / "train.arrow"] for day, size in sizes.items()]
    runs = [course(values, days[:count]) for count in (1, 2, 3, 4)]
    assert [(run.trunk_at, run.steps) for run in runs] == [
        (70, 100),
        (110, 140),
        (110, 140),
        (130, 160),
    ]
    assert [phase.from_step for phase in runs[3].phases] == [0, 70, 110]
    data = Phases(runs[3].data, 100, 10, 1)
    assert all((data.windows_of(step) < 140).sum() == 7 for step in range(70, 110))
    release = np.concatenate([data.windows_of(step) for step in range(130, 160)])
    assert len(set(release.tolist())) == 300 and release.max() > 800  # of all days' 810, once
    assert data.epochs(160) == {"docs": pytest.approx((700 + 400 + 200 + 300) / 810, rel=1e-3)}
    for before, after in itertools.pairwise(runs):
        grown = after.phases[: len(before.phases)]
        assert [phase.from_step for phase in grown] == [p.from_step for p in before.phases]


def test_however_little_is_new_a_release_is_not_made_of_it(tmp_path: Path) -> None:
    """Six rows are new, and the decay is 48 rows long."""
    days = [
        [write_night(tmp_path / str(day), day, size) / "train.arrow"]
        for day, size in enumerate((1600, 100))
    ]
    run = course(settings(), days)
    data = Phases(run.data, 16, 8, 1)
    rows = [data.batch(step).targets.ravel() for step in range(run.trunk_at, run.steps)]
    assert 0 < (np.concatenate(rows) >= IDS).sum() <= 6 * 16


def test_a_night_too_small_for_a_step_waits_for_the_next(tmp_path: Path) -> None:
    sizes = [5, 400, 0, 34, 100]  # 34: two rows, half a step
    days = [
        [write_night(tmp_path / str(day), 0, size, day) / "train.arrow"]
        for day, size in enumerate(sizes)
    ]
    with pytest.raises(NoRow, match="fewer than one window"):
        course(settings(), days[:1])
    runs = [course(settings(), days[:count]) for count in range(2, 6)]
    assert runs[0] == runs[1] == runs[2]
    assert [phase.shards for phase in runs[3].phases] == [
        (*days[0], *days[1]),
        (*days[2], *days[3], *days[4]),
    ]


def test_a_night_adds_no_more_than_its_limit_and_decays_as_long_as_asked(
    nights: list[list[Path]],
) -> None:
    shards = [[folder / "train.arrow" for folder in night] for night in nights]
    run = course(settings(epochs=1000, tokens=400, decay_tokens=300), shards)
    assert [phase.from_step for phase in run.phases] == [0, 6, 9]
    assert (run.trunk_at, run.steps) == (12, 15)


def test_what_joins_later_changes_no_identity_before_it(
    inputs: Inputs, nights: list[list[Path]], context: Context
) -> None:
    runs = [
        prepare(settings(), with_nights(inputs, nights[:count]), context) for count in (1, 2, 3)
    ]

    def at(run: int, step: int) -> str:
        return identity_at(runs[run]["identity"], runs[run]["joined"], step)

    assert at(0, 6) == at(1, 6) == at(2, 6)
    assert at(1, 7) == at(1, 13) == at(2, 13) != at(0, 7)
    assert at(2, 14) not in (at(1, 14), at(2, 13))
    lines = [[line["shards"] for line in run["history"]] for run in runs]
    assert lines[0] == lines[2][:1] and lines[1][:2] == lines[2][:2]


class Warnings(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, message: str) -> None:
        self.said.append(message)


@pytest.mark.parametrize("change", ["a shard", "replay", "epochs", "nothing"])
def test_a_trunk_with_another_past_is_refused(
    change: str,
    continued: list[Path],
    inputs: Inputs,
    nights: list[list[Path]],
    tmp_path: Path,
) -> None:
    days = [list(night) for night in nights]
    if change == "a shard":  # as after a takedown
        days[1] = [write_night(tmp_path / "erased", 1, 250)]
    values = settings(**({change: 0.4} if change in ("replay", "epochs") else {}))

    def begins(trunk: Path) -> tuple[bool, list[str]]:
        (tmp_path / trunk.name).mkdir()
        report = Warnings()
        where = Context(tmp_path, tmp_path / trunk.name, report, Machine(device="cpu"))
        job = prepare(values, with_nights(inputs, days, trunk), where)
        return job["start"] is not None, report.said

    assert begins(continued[0]) == (True, [])  # nothing that the first night read has changed
    found, said = begins(continued[1])
    assert found is (change == "nothing")
    assert found or "has other settings or data" in said[0]


def test_the_trunk_of_a_run_that_skipped_data_passes_over_nothing_of_a_new_night() -> None:
    note = {"step": 70, "incidents": {"skips": [{"step": 9, "origin": 8, "first": 8, "last": 10}]}}
    begins = Start(Path(), note).data([Phase(0, []), Phase(40, []), Phase(70, []), Phase(90, [])])
    assert [phase.from_step for phase in begins] == [0, 40, 73, 93]


def test_a_trunk_of_other_code_is_taken_on_trust_where_a_phase_begins(
    continued: list[Path],
    zygote: Zygote,
    inputs: Inputs,
    nights: list[list[Path]],
    tmp_path: Path,
) -> None:
    old = tmp_path / "old"
    shutil.copytree(continued[0], old)
    path = old / TRUNK / CHECKPOINT_NOTE
    note = json.loads(path.read_text())
    path.write_text(json.dumps({**note, "identity": "as other code has it"}))
    given = with_nights(inputs, nights[:2])
    job = prepared(settings(), {**given, "inherited": [old]}, tmp_path / "on")
    assert zygote.run(1, job) == [0]
    assert outcome(job.parent) == outcome(continued[1])
    places = [["embedding.weight", [60, 32], 16]]
    path.write_text(json.dumps({**note, "layout": places}))
    job = prepared(settings(), {**given, "inherited": [old]}, tmp_path / "elsewhere")
    assert zygote.run(1, job) == [1]
    assert "parameters in other places" in (job.parent / "failure.json").read_text()
    path.write_text(json.dumps({**note, "step": 5}))
    job = prepared(settings(), {**given, "inherited": [old]}, tmp_path / "between")
    assert json.loads(job.read_text())["start"] is None


def test_nights_are_told_apart_by_the_names_of_inputs() -> None:
    nights = [["a", "b"], ["c"], ["d"]]
    named = inputs_of(nights)
    assert list(named) == ["tokens", "tokens-0002", "tokens-0003"]
    assert nights_of({"tokenizer": ["t"], **dict(reversed(named.items()))}) == nights


@pytest.mark.parametrize(
    "schedule",
    [ScheduleSettings(type="cosine"), ScheduleSettings(decay_fraction=1.0)],
    ids=["no stable phase", "nothing but decay"],
)
def test_a_schedule_without_a_trunk_is_refused(schedule: ScheduleSettings) -> None:
    with pytest.raises(ValueError, match=r"it needs schedule\.type wsd"):
        tiny_settings(schedule=schedule, continual=ContinualSettings())


def test_a_source_with_a_weight_may_come_on_a_later_night(tmp_path: Path) -> None:
    days = [[write_night(tmp_path / str(day), day, 1600) / "train.arrow"] for day in range(2)]
    days[1].append(write_night(tmp_path / "blog", 2, 1600, source="blog") / "train.arrow")
    values = dataclasses.replace(settings(replay=0.5), mix={"blog": 3})
    assert course(values, days[:1]) == course(settings(replay=0.5), days[:1])
    run = course(values, days)
    assert [phase.mix for phase in run.data] == [{}, {"blog": 3}, {"blog": 3}]
    data = Phases(run.phases, 16, 8, 1)
    targets = np.concatenate([data.batch(step).targets for step in range(6, run.trunk_at)])
    shares = [((targets // IDS) == night).mean() for night in range(3)]
    assert shares == pytest.approx([1 / 2, 1 / 8, 3 / 8], abs=0.02)
