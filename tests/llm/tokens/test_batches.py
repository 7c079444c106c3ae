import numpy as np
import pytest

from llm.step import BadInput
from llm.tokens.batches import BLOCK, Batches, permuted
from llm.tokens.shards import ShardColumns, write_shard


def write_streams(folder, lengths):
    """Shards whose tokens count up from 0, so that a window says where it was read."""
    paths, first = [], 0
    for number, length in enumerate(lengths):
        path = folder / f"{number}.arrow"
        tokens = np.arange(first, first + length).astype(np.uint16)
        documents = [length] if length else []
        write_shard(
            path,
            ShardColumns(
                [b"0" * 16] * len(documents), ["x"] * len(documents), documents, documents, tokens
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
