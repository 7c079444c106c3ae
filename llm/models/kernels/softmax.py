"""Attention's softmax over the keys that a query sees, with dropout, and the way back."""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

from llm.models.kernels.dropout import keeps
from llm.models.kernels.numbers import (
    LEAST,
    ONE,
    ZERO,
    bits_of,
    exp,
    from_bits,
    in_order,
    narrow,
    pointer,
    wide,
)

NOTHING = np.float32(-np.inf)  # the score of a key that is not seen


def masked_softmax(
    scores, lengths, dropped, shares, products, rows, block, keys, each, low, high, threshold,
    scale: np.float32, causal: bool, lengthed: bool, drops: bool, like,
):  # fmt: skip
    """Softmax of scores (products, rows, keys) over the keys that a query sees, in place.

    Rows are blocks of `block` queries, one for each head of a group. Where causal, those are the last of
    as many keys, and each sees those up to its own. lengths (products / each,): how many keys there are,
    where lengthed. shares (keys,) float32: to work in.

    Where drops: a weight that is dropped becomes negative, so that the way back knows it, and `dropped`
    is what values are weighed by: weights that are kept, times scale, and 0.
    """
    scores = carray(pointer(scores, like), (products, rows, keys))
    dropped = carray(pointer(dropped, like), (products, rows, keys))
    lengths = carray(pointer(lengths, np.int64(0)), products)
    shares = carray(pointer(shares, ZERO), keys)
    low, high, threshold = np.uint32(low), np.uint32(high), np.uint32(threshold)
    for n in range(products):
        length = lengths[np.uint64(n) // np.uint64(each)] if lengthed else keys
        for i in range(rows):
            row, seen = scores[n, i], length
            if causal:
                seen = min(seen, keys - block + np.int64(np.uint64(i) % np.uint64(block)) + 1)
            seen = np.int32(seen)
            for j in range(keys):
                shares[j] = wide(row[j]) if np.int32(j) < seen else NOTHING
            largest = LEAST
            for j in range(keys):
                largest = max(largest, in_order(np.int32(bits_of(shares[j]))))
            peak = from_bits(np.uint32(in_order(largest)))
            total = ZERO
            for j in range(keys):
                share = exp(shares[j] - peak)
                total += share
                shares[j] = share
            factor = ONE / total
            if drops:
                begin, target = np.uint32((n * rows + i) * keys), dropped[n, i]
                for j in range(keys):
                    share = shares[j] * factor
                    kept = keeps(np.uint32(begin + np.uint32(j)), low, high, threshold)
                    row[j] = narrow(share if kept else -share, like)
                    target[j] = narrow(share * scale if kept else ZERO, like)
            else:
                for j in range(keys):
                    row[j] = narrow(shares[j] * factor, like)


def softmax_slopes(weights, slopes, rows, keys, like):
    """slopes (rows, keys), d loss / d weights, become d loss / d scores in place.

    weights: what a softmax made. d scores = w * (d w - sum(w * d w)).
    """
    weights = carray(pointer(weights, like), (rows, keys))
    slopes = carray(pointer(slopes, like), (rows, keys))
    for i in range(rows):
        weight, slope = weights[i], slopes[i]
        shift = ZERO
        for j in range(keys):
            shift += wide(weight[j]) * wide(slope[j])
        for j in range(keys):
            slope[j] = narrow(wide(weight[j]) * (wide(slope[j]) - shift), like)


def kept_weights(weights, dropped, size, scale: np.float32, like):
    """What values were weighed by, again, from a softmax's weights of which some were dropped: (size,)."""
    weights = carray(pointer(weights, like), size)
    dropped = carray(pointer(dropped, like), size)
    for i in range(size):
        weight = wide(weights[i])
        dropped[i] = narrow(weight * scale if weight > ZERO else ZERO, like)


def dropped_softmax_slopes(weights, slopes, rows, keys, scale: np.float32, like):
    """`softmax_slopes` where some weights were dropped, and slopes are of what was left of them."""
    weights = carray(pointer(weights, like), (rows, keys))
    slopes = carray(pointer(slopes, like), (rows, keys))
    for i in range(rows):
        weight, slope = weights[i], slopes[i]
        shift = ZERO
        for j in range(keys):
            share = wide(weight[j])
            shift += (share * scale if share > ZERO else ZERO) * wide(slope[j])
        for j in range(keys):
            share = wide(weight[j])
            change = share * scale * wide(slope[j]) if share > ZERO else ZERO
            slope[j] = narrow(change - abs(share) * shift, like)
