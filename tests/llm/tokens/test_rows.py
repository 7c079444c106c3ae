"""Rows against documents cut and laid out token by token."""

import numpy as np
import pytest

from llm.tokens.packing import best_fit
from llm.tokens.rows import FILLING, IGNORE, BestFitRows, ConcatRows, Stream
from llm.tokens.shards import Shard, ShardColumns, write_shard
from tests.llm.tokens.data import END, write_documents


@pytest.fixture
def corpus(tmp_path):
    """Three shards, one of them of a single document; all documents; the shards as a stream."""
    documents, paths = [], []
    for number, count in enumerate((50, 1, 33)):
        paths.append(tmp_path / f"{number}.arrow")
        documents += write_documents(paths[-1], count, seed=number)
    return documents, Stream([Shard.open(path) for path in paths])


def test_the_worked_example(tmp_path):
    path = tmp_path / "one.arrow"
    tokens = np.array([1, 2, 3, 9, 4, 5, 9], np.uint16)
    write_shard(path, ShardColumns([bytes(16)] * 2, ["x"] * 2, [4, 3], [4, 3], tokens), {})
    stream = Stream([Shard.open(path)])
    whole = ConcatRows(stream, [0, 7], 4, document_mask=True)
    assert [part.tolist() for part in whole.read(np.array([0]))] == [
        [[1, 2, 3, 9]],
        [[2, 3, 9, 4]],
        [[1, 1, 1, 2]],
    ]
    fitted = BestFitRows(stream, [0, 7], 4)
    assert [part.tolist() for part in fitted.read(np.array([0, 1]))] == [
        [[9, 1, 2, 3], [9, 4, 5, 0]],
        [[1, 2, 3, 9], [4, 5, 9, IGNORE]],
        [[1, 1, 1, 1], [1, 1, 1, 0]],
    ]


@pytest.mark.parametrize("context_length", [1, 5, 16, 61])
def test_masked_windows_keep_documents_apart(corpus, context_length):
    documents, stream = corpus
    flat = [(token, number) for number, document in enumerate(documents) for token in document]
    rows = ConcatRows(stream, [0, len(stream)], context_length, document_mask=True)
    order = np.random.default_rng(0).permutation(rows.counts[0])
    tokens, targets, segments = rows.read(order)
    for row, number in enumerate(order.tolist()):
        begin = number * context_length
        span = flat[begin : begin + context_length + 1]
        assert tokens[row].tolist() == [token for token, _ in span[:-1]]
        assert targets[row].tolist() == [token for token, _ in span[1:]]
        owners = [owner for _, owner in span[1:]]  # of the targets
        assert segments[row].tolist() == [owner - owners[0] + 1 for owner in owners]
    assert np.array_equal(
        tokens[:, 1:][np.diff(segments) > 0], [END] * (np.diff(segments) > 0).sum()
    )


@pytest.mark.parametrize("context_length", [1, 5, 16, 61])
def test_best_fit_rows_are_documents_laid_out_piece_by_piece(corpus, context_length):
    documents, stream = corpus
    pieces = [
        document[start : start + context_length]
        for document in documents
        for start in range(0, len(document), context_length)
    ]
    openers = [
        document[start - 1] if start else END
        for document in documents
        for start in range(0, len(document), context_length)
    ]
    places = best_fit(np.array([len(piece) for piece in pieces]), context_length)
    count = int(places[0].max()) + 1
    shape = (count, context_length)
    tokens, targets = np.full(shape, FILLING), np.full(shape, IGNORE)
    segments = np.zeros(shape, np.int64)
    layout = sorted(zip(*(part.tolist() for part in places), pieces, openers, strict=True))
    members = [0] * count
    for row, start, piece, opener in layout:
        members[row] += 1
        span = slice(start, start + len(piece))
        tokens[row, span] = [opener, *piece[:-1]]
        targets[row, span] = piece
        segments[row, span] = members[row]
    rows = BestFitRows(stream, [0, len(stream)], context_length)
    assert (rows.counts, rows.learned) == ([count], [len(stream)])
    order = np.random.default_rng(0).permutation(count)
    for read, expected in zip(rows.read(order), (tokens, targets, segments), strict=True):
        assert read.dtype == np.int64 and np.array_equal(read, expected[order])


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_no_row_crosses_from_one_pool_into_the_next(corpus, packing):
    _, stream = corpus
    pools = [0, stream.starts[1], stream.starts[1], len(stream)]
    whole = (
        BestFitRows(stream, pools, 16)
        if packing == "best_fit"
        else ConcatRows(stream, pools, 16, document_mask=True)
    )
    alone = [Stream(stream.shards[:1]), Stream([]), Stream(stream.shards[1:])]
    number = 0
    for pool, own in enumerate(alone):
        bounds = [0, len(own)]
        single = (
            BestFitRows(own, bounds, 16)
            if packing == "best_fit"
            else ConcatRows(own, bounds, 16, document_mask=True)
        )
        assert (whole.counts[pool], whole.learned[pool]) == (single.counts[0], single.learned[0])
        numbers = np.arange(single.counts[0])
        for read, expected in zip(whole.read(number + numbers), single.read(numbers), strict=True):
            assert np.array_equal(read, expected)
        number += single.counts[0]
    assert whole.counts[1] == 0
