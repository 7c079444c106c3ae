import numpy as np
import pytest

from llm.step import BadInput
from llm.tokens.batches import BLOCK, Batches, permuted
from llm.tokens.shards import ShardColumns, write_shard


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
        assert sorted(batches.batch(step)[0].tolist() for step in steps) == expected


@pytest.mark.parametrize("sequences", [1, 3, 8, 25, 200])
def test_batches_run_on_from_one_epoch_into_the_next(tmp_path, sequences):
    paths = write_streams(tmp_path, [60, 41])
    one = Batches(paths, 4, sequences=1, seed=0)
    many = Batches(paths, 4, sequences=sequences, seed=0)
    rows = np.concatenate([many.batch(step) for step in range(5)])
    assert rows.dtype == np.int64
    assert np.array_equal(rows, np.concatenate([one.batch(i) for i in range(5 * sequences)]))
    assert many.steps_per_epoch == 25 / sequences


def test_a_batch_depends_on_seed_and_step_alone(tmp_path):
    paths = write_streams(tmp_path, [500, 501])
    steps = [7, 0, 130, 7, 62, 61, 0]
    used = Batches(paths, 8, sequences=4, seed=1)
    for step in steps:
        fresh = Batches(paths, 8, sequences=4, seed=1)
        assert np.array_equal(used.batch(step), fresh.batch(step))
    other = Batches(paths, 8, sequences=4, seed=2)
    assert not np.array_equal(used.batch(0), other.batch(0))


def test_parts_of_a_step_are_rows_of_its_batch(tmp_path):
    batches = Batches(write_streams(tmp_path, [300]), 8, sequences=6, seed=1)
    whole = batches.batch(9)
    assert np.array_equal(np.concatenate([batches.batch(9, 0, 2), batches.batch(9, 2, 6)]), whole)
    assert np.array_equal(batches.windows_of(9) * 8, whole[:, 0])
    assert batches.batch(9, 3, 3).shape == (0, 9)


def test_epochs_differ_in_their_order():
    first, second = (permuted(np.arange(1000), 1000, seed=5, epoch=epoch) for epoch in (0, 1))
    assert np.count_nonzero(first == second) < 10
    assert np.count_nonzero(first == np.arange(1000)) < 10


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1000, 4096, 40_001])
def test_the_order_is_a_permutation_and_does_not_depend_on_how_it_is_asked(size):
    order = permuted(np.arange(size), size, seed=9, epoch=2)
    assert np.array_equal(np.sort(order), np.arange(size))
    some = np.arange(size)[::-7]
    assert np.array_equal(permuted(some, size, seed=9, epoch=2), order[some])


def test_small_permutations_are_close_to_uniform():
    """All 24 orders of 4 items over 4,800 seeds: chi-squared, 23 degrees, limit at p = 0.001."""
    counts = {}
    for seed in range(4800):
        key = tuple(permuted(np.arange(4), 4, seed=seed, epoch=0).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 24
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 49.73


def test_an_epoch_longer_than_one_block_reads_every_window_once(tmp_path):
    paths = write_streams(tmp_path, [2 * BLOCK + 778])
    batches = Batches(paths, 1, sequences=1000, seed=0)
    steps = -(-batches.windows // 1000)
    order = np.concatenate([batches.windows_of(step) for step in range(steps)])
    assert np.array_equal(np.sort(order[: batches.windows]), np.arange(batches.windows))


def test_a_seed_of_any_size_or_sign_will_do(tmp_path):
    paths = write_streams(tmp_path, [100])
    for seed in (-1, 2**70):
        assert Batches(paths, 4, sequences=2, seed=seed).batch(0).shape == (2, 5)


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
    rows = [batches.batch(step)[0] for step in range(batches.windows)]
    seen = {name: sum(owner(row[0]) == name for row in rows) for name in "abc"}
    assert seen == batches.by_source
    sizes = {"a": 7000, "b": 1509, "c": 700}
    due = {name: mix.get(name, 1) * sizes[name] for name in sizes}
    for name, count in seen.items():
        assert abs(count / len(rows) - due[name] / sum(due.values())) < 0.01


def test_windows_of_a_mix_lie_within_a_source(tmp_path):
    batches = mixed(tmp_path, {"b": 2})
    for step in range(50):
        for row in batches.batch(step):
            assert len({owner(token) for token in row}) == 1


def test_a_fraction_of_a_source_comes_to_all_of_it_over_epochs(tmp_path):
    batches = mixed(tmp_path, {"a": 0.5, "c": 1.5}, sequences=1)
    counts = {}
    for step in range(4 * batches.windows):
        first = int(batches.batch(step)[0][0])
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
        assert np.array_equal(used.batch(step), fresh.batch(step))
        assert np.array_equal(fresh.batch(step, 2, 5), used.batch(step)[2:5])
    assert not np.array_equal(mixed(tmp_path, {"a": 2}, seed=4).batch(0), used.batch(0))


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
