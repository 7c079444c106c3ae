import functools
from collections import Counter

import numpy as np
import pytest

from llm.step import BadInput
from llm.tokens.batches import BLOCK, Batches
from llm.tokens.rows import IGNORE
from llm.tokens.shards import Shard, ShardColumns, write_shard
from tests.llm.tokens.data import multiset, write_documents


def write_streams(folder, lengths, sources=("x",)):
    """Shards whose tokens count up from 0, so that a window says where it was read."""
    paths, first = [], 0
    for number, length in enumerate(lengths):
        path = folder / f"{number}.arrow"
        tokens = np.arange(first, first + length).astype(np.uint16)
        documents = [length] if length else []
        write_shard(
            path,
            ShardColumns(
                [b"0" * 16] * len(documents),
                [sources[number % len(sources)]] * len(documents),
                documents,
                documents,
                tokens,
            ),
            {},
        )
        paths.append(path)
        first += length
    return paths


def windows(batches, step, start=0, stop=None):
    """A step's windows, (rows, context_length + 1): inputs and targets are theirs but one."""
    tokens, targets, segments = batches.batch(step, start, stop)
    assert segments is None and np.array_equal(tokens[:, 1:], targets[:, :-1])
    return np.concatenate([tokens, targets[:, -1:]], axis=1)


@pytest.mark.parametrize("lengths", [[100], [40, 0, 60], [3, 2, 1, 50, 0, 44], [1] * 100])
@pytest.mark.parametrize("context_length", [1, 4, 7, 99])
def test_every_window_is_read_exactly_once_an_epoch(tmp_path, lengths, context_length):
    batches = Batches(write_streams(tmp_path, lengths), context_length, sequences=1, seed=3)
    expected = [
        list(range(i, i + context_length + 1))
        for i in range(0, 100 - context_length, context_length)
    ]
    assert (batches.tokens, batches.windows) == (100, len(expected))
    for epoch in range(3):
        steps = range(epoch * batches.windows, (epoch + 1) * batches.windows)
        assert sorted(windows(batches, step)[0].tolist() for step in steps) == expected


@pytest.mark.parametrize("sequences", [1, 3, 8, 25, 200])
def test_batches_run_on_from_one_epoch_into_the_next(tmp_path, sequences):
    paths = write_streams(tmp_path, [60, 41])
    one = Batches(paths, 4, sequences=1, seed=0)
    many = Batches(paths, 4, sequences=sequences, seed=0)
    rows = np.concatenate([windows(many, step) for step in range(5)])
    assert rows.dtype == np.int64
    assert np.array_equal(rows, np.concatenate([windows(one, i) for i in range(5 * sequences)]))
    assert many.steps_per_epoch == 25 / sequences


def test_a_batch_depends_on_seed_and_step_alone(tmp_path):
    paths = write_streams(tmp_path, [500, 501])
    steps = [7, 0, 130, 7, 62, 61, 0]
    used = Batches(paths, 8, sequences=4, seed=1)
    for step in steps:
        fresh = Batches(paths, 8, sequences=4, seed=1)
        assert np.array_equal(windows(used, step), windows(fresh, step))
    other = Batches(paths, 8, sequences=4, seed=2)
    assert not np.array_equal(windows(used, 0), windows(other, 0))


def test_parts_of_a_step_are_rows_of_its_batch(tmp_path):
    batches = Batches(write_streams(tmp_path, [300]), 8, sequences=6, seed=1)
    whole = windows(batches, 9)
    assert np.array_equal(
        np.concatenate([windows(batches, 9, 0, 2), windows(batches, 9, 2, 6)]), whole
    )
    assert np.array_equal(batches.windows_of(9) * 8, whole[:, 0])
    assert windows(batches, 9, 3, 3).shape == (0, 9)


def test_an_epoch_longer_than_one_block_reads_every_window_once(tmp_path):
    paths = write_streams(tmp_path, [2 * BLOCK + 778])
    batches = Batches(paths, 1, sequences=1000, seed=0)
    steps = -(-batches.windows // 1000)
    order = np.concatenate([batches.windows_of(step) for step in range(steps)])
    assert np.array_equal(np.sort(order[: batches.windows]), np.arange(batches.windows))


def test_a_seed_of_any_size_or_sign_will_do(tmp_path):
    paths = write_streams(tmp_path, [100])
    for seed in (-1, 2**70):
        assert windows(Batches(paths, 4, sequences=2, seed=seed), 0).shape == (2, 5)


@pytest.mark.parametrize("lengths", [[], [0], [8]])
def test_less_than_one_window_is_refused_with_what_to_do(tmp_path, lengths):
    with pytest.raises(BadInput, match=r"tokens, fewer than one window of 9: crawl more"):
        Batches(write_streams(tmp_path, lengths), 8, sequences=1, seed=0)


def test_the_order_without_weights_stays_what_it_was(tmp_path):
    """The order of a version without weights: whoever changes it changes every model."""
    paths = write_streams(tmp_path, [500, 501], ("a", "b"))
    for mix in (None, {}, {"a": 1.0}, {"a": 1.0, "b": 1}):
        batches = Batches(paths, 8, sequences=6, seed=4, mix=mix)
        assert batches.windows_of(0).tolist() == [18, 110, 35, 107, 42, 55]
        assert batches.windows_of(41).tolist() == [28, 31, 74, 113, 55, 47]
        assert batches.by_source == {}


MIXED = (3000, 1500, 700, 4000, 9)  # tokens; sources a, b, c, a, b


def mixed(folder, mix, sequences=7, seed=3):
    sources = ("a", "b", "c", "a", "b")
    paths = write_streams(folder, MIXED, sources)
    return Batches(paths, 8, sequences=sequences, seed=seed, mix=mix)


def owner(token):
    """Which source a token is of: tokens count up over the shards."""
    return "abcab"[int(np.searchsorted(np.cumsum(MIXED), token, side="right"))]


@pytest.mark.parametrize("mix", [{"b": 3}, {"a": 0.37, "c": 2.5}, {"b": 0}, {"a": 0.1, "b": 0.2}])
def test_an_epoch_of_a_mix_has_as_much_of_each_source_as_its_weight_says(tmp_path, mix):
    batches = mixed(tmp_path, mix, sequences=1)
    rows = [windows(batches, step)[0] for step in range(batches.windows)]
    seen = {name: sum(owner(row[0]) == name for row in rows) for name in "abc"}
    assert seen == batches.by_source
    sizes = {"a": 7000, "b": 1509, "c": 700}
    due = {name: mix.get(name, 1) * sizes[name] for name in sizes}
    for name, count in seen.items():
        assert abs(count / len(rows) - due[name] / sum(due.values())) < 0.01


def test_windows_of_a_mix_lie_within_a_source(tmp_path):
    batches = mixed(tmp_path, {"b": 2})
    for step in range(50):
        for row in windows(batches, step):
            assert len({owner(token) for token in row}) == 1


def test_a_fraction_of_a_source_comes_to_all_of_it_over_epochs(tmp_path):
    batches = mixed(tmp_path, {"a": 0.5, "c": 1.5}, sequences=1)
    counts = {}
    for step in range(4 * batches.windows):
        first = int(windows(batches, step)[0][0])
        counts[first] = counts.get(first, 0) + 1
    often = {name: {counts[at] for at in counts if owner(at) == name} for name in "abc"}
    number = {name: sum(owner(at) == name for at in counts) for name in "abc"}
    assert number == {"a": 6999 // 8, "b": 1508 // 8, "c": 699 // 8}
    # 1.5 times 87 windows are 130 an epoch: two turns are left to come after four.
    assert often == {"a": {2}, "b": {4}, "c": {5, 6}}


def test_a_mix_depends_on_seed_and_step_alone(tmp_path):
    used = mixed(tmp_path, {"a": 0.37, "c": 2.5})
    for step in [300, 7, 0, 701, 7]:
        fresh = mixed(tmp_path, {"c": 2.5, "a": 0.37})
        assert np.array_equal(windows(used, step), windows(fresh, step))
        assert np.array_equal(windows(fresh, step, 2, 5), windows(used, step)[2:5])
    assert not np.array_equal(windows(mixed(tmp_path, {"a": 2}, seed=4), 0), windows(used, 0))


def test_a_mix_longer_than_one_block_reads_as_often_as_it_says(tmp_path):
    paths = write_streams(tmp_path, [2 * BLOCK + 778, 5000], ("a", "b"))
    batches = Batches(paths, 1, sequences=1000, seed=0, mix={"b": 3})
    steps = -(-batches.windows // 1000)
    order = np.concatenate([batches.windows_of(step) for step in range(steps)])
    counts = np.bincount(order[: batches.windows])
    a = 2 * BLOCK + 777
    assert (counts[:a] == 1).all() and (counts[a:] == 3).all() and len(counts) == a + 4999


def test_a_mix_of_what_is_not_there_is_refused_with_what_is(tmp_path):
    with pytest.raises(BadInput, match=r"pretrain.mix names d, web: .* documents of a, b, c"):
        mixed(tmp_path, {"web": 2, "a": 1, "d": 1})
    with pytest.raises(BadInput, match=r"leaves out every source .* a, b, c more weight"):
        mixed(tmp_path, {"a": 0, "b": 0, "c": 0})


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
@pytest.mark.parametrize("mix", [{"b": 3}, {"a": 0.37, "c": 2.5}, {"a": 0.1, "b": 0.2}])
def test_token_shares_are_within_a_hundredth_of_the_weights_at_any_step(tmp_path, mix, packing):
    """Not only after an epoch: a short run has its shares as well."""
    paths, due = [], {}
    counts = {"a": 300, "b": 200, "c": 90}
    for number, (name, count) in enumerate(counts.items()):
        paths.append(tmp_path / f"{name}.arrow")
        # Tokens of a source are a range of their own.
        ids = (1 + 20_000 * number, 20_000 * (number + 1))
        documents = write_documents(paths[-1], count, number, name, ids=ids)
        due[name] = mix.get(name, 1) * sum(map(len, documents))
    batches = Batches(paths, 16, sequences=10, seed=3, mix=mix, packing=packing)
    learned = dict.fromkeys(counts, 0)
    for step in range(80):
        for row in batches.batch(step).targets:
            owner = "abc"[int(row.max() - 1) // 20_000]
            learned[owner] += int((row != IGNORE).sum())
        if step >= 20:
            for name, tokens in learned.items():
                share = tokens / sum(learned.values())
                assert abs(share - due[name] / sum(due.values())) < 0.01, (step, name)
    assert batches.learned_by_source(80) == pytest.approx(learned, rel=0.03)


@pytest.mark.parametrize(
    "options",
    [{}, {"mix": {"a": 2, "b": 0.3}}, {"packing": "best_fit"}, {"document_mask": True}],
    ids=["concat", "mix", "best fit", "mask"],
)
def test_killed_and_resumed_on_any_number_of_ranks_it_reads_each_row_as_often(tmp_path, options):
    paths = [tmp_path / f"{name}.arrow" for name in "ab"]
    for number, path in enumerate(paths):
        write_documents(path, 70, number, path.stem)
    make = functools.partial(Batches, paths, 16, 12, 5, **options)
    rows = [
        multiset([np.stack(row) for row in zip(*parts(make(), step), strict=True)])
        for step in range(40)
    ]
    expected = sum(rows, Counter())
    found, step = Counter(), 0
    for ranks, steps in ((1, 9), (4, 5), (3, 13), (2, 1), (6, 12)):
        processes = [make() for _ in range(ranks)]  # started anew, knowing the step alone
        for _ in range(steps):
            for rank, data in enumerate(processes):
                span = (rank * 12 // ranks, (rank + 1) * 12 // ranks)
                found += multiset(
                    [np.stack(row) for row in zip(*parts(data, step, *span), strict=True)]
                )
            step += 1
    assert step == 40 and found == expected


def parts(batches, *which):
    return [part for part in batches.batch(*which) if part is not None]


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
@pytest.mark.parametrize("mix", [{}, {"b": 2}])
def test_replay_gives_earlier_shards_their_share_of_tokens(tmp_path, mix, packing):
    paths = {name: tmp_path / f"{name}.arrow" for name in ("new a", "new b", "old a", "old b")}
    for number, (name, path) in enumerate(paths.items()):
        ids = (1 + 15_000 * number, 15_000 * (number + 1))
        write_documents(path, 100 + 50 * number, number, name[-1], ids=ids)
    files = list(paths.values())
    batches = Batches(files[:2], 16, 10, 3, mix, packing=packing, earlier=files[2:], replay=0.3)
    steps = int(batches.steps_per_epoch)
    learned = dict.fromkeys(paths, 0)
    for step in range(steps):
        targets = batches.batch(step).targets
        for name, low in zip(paths, range(0, 60_000, 15_000), strict=True):
            learned[name] += int(((targets > low) & (targets <= low + 15_000)).sum())
        total = sum(learned.values())
        if step >= 20:
            assert abs((learned["old a"] + learned["old b"]) / total - 0.3) < 0.01
    sizes = {name: len(Shard.open(path).tokens) for name, path in paths.items()}
    for age in ("new", "old"):
        times = [learned[f"{age} {source}"] / sizes[f"{age} {source}"] for source in "ab"]
        # Without weights, what is replayed is a sample of all sources.
        assert times[1] / times[0] == pytest.approx(mix.get("b", 1), rel=0.1 if mix else 0.2)


@pytest.mark.parametrize("replay", [-0.1, 1.0, float("nan")])
def test_a_replay_that_is_no_share_is_refused(tmp_path, replay):
    paths = write_streams(tmp_path, [100, 100])
    with pytest.raises(BadInput, match=r"replay is .*: it is a share .* from 0 to below 1"):
        Batches(paths[:1], 4, 2, 0, earlier=paths[1:], replay=replay)


def test_a_replay_of_nothing_is_refused(tmp_path):
    paths = write_streams(tmp_path, [100, 4])
    with pytest.raises(BadInput, match=r"replay 0.2 asks for earlier shards that hold a window"):
        Batches(paths[:1], 4, 2, 0, earlier=paths[1:], replay=0.2)
