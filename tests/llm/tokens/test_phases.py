"""A run whose data grow: what was read stays, what is new comes with its share of replay."""

import json
from collections import Counter

import numpy as np
import pytest

from llm.step import BadInput
from llm.tokens.batches import Batches
from llm.tokens.phases import Phase, Phases
from llm.tokens.shards import Shard, ShardColumns, write_shard
from tests.llm.tokens.data import multiset, write_documents

OPTIONS = [{}, {"packing": "best_fit"}, {"document_mask": True}]


@pytest.fixture
def nights(tmp_path):
    """The shards of three nights; tokens of each are a range of 20,000 of their own."""
    found = []
    for night, count in enumerate((300, 120, 150)):
        ids = (1 + 20_000 * night, 20_000 * (night + 1))
        half = [tmp_path / f"{night}-{source}.arrow" for source in "ab"]
        for number, path in enumerate(half):
            write_documents(path, count, 2 * night + number, "ab"[number], ids=ids)
        found.append(half)
    return found


def same(one, other, step):
    return np.array_equal(one.windows_of(step), other.windows_of(step)) and all(
        a is b is None or np.array_equal(a, b)
        for a, b in zip(one.batch(step), other.batch(step), strict=True)
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_a_night_that_joins_leaves_all_earlier_steps_as_they_were(nights, options):
    first = Phase(0, nights[0])
    second = Phase(31, nights[1], replay=0.3, mix={"a": 2})
    third = Phase(50, nights[2], replay=0.5)
    alone = Batches(nights[0], 16, 8, 7, **options)
    plans = [
        Phases(list(plan), 16, 8, 7, **options)
        for plan in ([first], [first, second], [first, second, third])
    ]
    for step in range(31):
        assert all(same(plan, alone, step) for plan in plans)
    for step in range(31, 50):
        assert same(plans[1], plans[2], step)
    assert not same(plans[0], plans[1], 31) and not same(plans[1], plans[2], 50)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("replay", [0.0, 0.3, 0.75])
def test_a_night_has_the_asked_share_of_earlier_tokens(nights, replay, options):
    phases = [Phase(0, nights[0]), Phase(10, nights[1]), Phase(20, nights[2], replay=replay)]
    data = Phases(phases, 16, 10, 3, **options)
    tokens = Counter()
    for step in range(20, 20 + int(data.phase(2).steps_per_epoch)):
        targets = data.batch(step).targets
        for night in range(3):
            tokens[night] += int(
                ((targets > 20_000 * night) & (targets <= 20_000 * (night + 1))).sum()
            )
    earlier = tokens[0] + tokens[1]
    assert abs(earlier / tokens.total() - replay) < 0.01
    if replay:  # of all nights before, by their sizes
        sizes = [sum(len(Shard.open(path).tokens) for path in night) for night in nights]
        assert tokens[0] / earlier == pytest.approx(sizes[0] / (sizes[0] + sizes[1]), abs=0.05)


def test_the_worked_example(tmp_path):
    paths = [tmp_path / "monday.arrow", tmp_path / "tuesday.arrow"]
    for path, size in zip(paths, (60_001, 14_001), strict=True):
        tokens = np.arange(size).astype(np.uint16)
        write_shard(path, ShardColumns([bytes(16)], ["x"], [size], [size], tokens), {})
    data = Phases([Phase(0, paths[:1]), Phase(50, paths[1:], replay=0.3)], 100, 10, 1)
    assert data.phase(1).steps_per_epoch == 20
    assert len(set(np.concatenate([data.windows_of(step) for step in range(50)]).tolist())) == 500
    night = np.stack([data.windows_of(step) for step in range(50, 70)])
    assert ((night < 140).sum(axis=1) == 7).all()  # new ones come first in the numbering
    assert sorted(night[night < 140].tolist()) == list(range(140))
    assert len(set(night[night >= 140].tolist())) == 60
    assert data.epochs(70) == {"x": pytest.approx((500 + 140 + 60) / (600 + 140))}


@pytest.mark.parametrize("options", OPTIONS)
def test_read_back_from_its_description_in_another_process_it_reads_the_same(nights, options):
    phases = [Phase(0, nights[0]), Phase(9, nights[1], replay=0.3, mix={"b": 0.5})]
    text = json.dumps([phase.describe() for phase in phases])
    data = Phases(phases, 16, 12, 3, **options)
    again = Phases([Phase.read(one) for one in json.loads(text)], 16, 12, 3, **options)
    for step in (12, 3, 8, 9, 30):
        rows = data.batch(step)
        parts = [again.batch(step, rank * 3, rank * 3 + 3) for rank in range(4)]
        for number, whole in enumerate(rows):
            if whole is not None:
                assert np.array_equal(np.concatenate([part[number] for part in parts]), whole)


def test_nights_replay_other_rows_of_the_same_shards(nights):
    phases = [Phase(0, nights[0]), Phase(9, nights[1], replay=0.5)]
    phases.append(Phase(20, nights[1], replay=0.5))
    data = Phases(phases, 16, 8, 3)
    read = [
        multiset([row for step in steps for row in data.batch(step).targets if row.max() <= 20_000])
        for steps in (range(9, 19), range(20, 30))
    ]
    assert sum((read[0] & read[1]).values()) < 0.5 * sum(read[0].values())


def test_epochs_are_told_by_source_over_all_phases(nights):
    phases = [Phase(0, nights[0], mix={"a": 2}), Phase(30, nights[1], mix={"b": 0})]
    data = Phases(phases, 16, 8, 3)
    told = data.epochs(30)
    rows = {name: data.phase(0).by_source[name] * 240 / data.phase(0).windows for name in "ab"}
    sizes = [{p.stem[-1]: (len(Shard.open(p).tokens) - 1) // 16 for p in night} for night in nights]
    assert told == pytest.approx({name: rows[name] / sizes[0][name] for name in "ab"})
    assert told["a"] == pytest.approx(2 * told["b"], rel=0.01)
    later = data.epochs(45)
    assert later["a"] == pytest.approx((rows["a"] + 15 * 8) / (sizes[0]["a"] + sizes[1]["a"]))
    assert later["b"] == pytest.approx(rows["b"] / (sizes[0]["b"] + sizes[1]["b"]))


@pytest.mark.parametrize("begins", [[], [3], [0, 5, 5], [0, 9, 5]])
def test_phases_out_of_order_are_refused(begins, nights):
    with pytest.raises(BadInput, match="the first must begin at 0"):
        Phases([Phase(begin, nights[0]) for begin in begins], 16, 8, 3)
