"""What attention does besides matrix products: heads are parted, normalised and turned; softmax.

Heads: rows of a product hold all heads of a position side by side, (B, T, heads, D); attention's
products want each head's positions one after the other, (B, heads, T, D).
"""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

from llm.compiled import inner
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


def transpose(x, y, batch, rows, columns, width, like):
    """y = x with two dimensions exchanged: (batch, rows, columns, width) → (batch, columns, rows, width)."""
    x = carray(pointer(x, like), (batch, rows, columns, width))
    y = carray(pointer(y, like), (batch, columns, rows, width))
    for b in range(batch):
        for i in range(rows):
            for j in range(columns):
                source, target = x[b, i, j], y[b, j, i]
                for k in range(width):
                    target[k] = source[k]


def part_heads(
    packed, queries, keys, values, rotary, query_weight, key_weight, scales, row, batch, length, heads,
    kv_heads, width, factor: np.float32, epsilon: np.float32, turned: bool, normed: bool, like,
):  # fmt: skip
    """packed (B, T, H + 2 K, D) → queries (B, H, T, D), keys and values (B, K, T, D).

    Queries and keys are normalised (RMSNorm; weights (D,); scales (B, T, H + K) are kept) where normed,
    and turned by the angles of their position (rotary (2, T, D/2): cos, sin) where turned; queries are
    multiplied by factor. row (D,) float32: to work in.
    """
    packed = carray(pointer(packed, like), (batch, length, heads + 2 * kv_heads, width))
    queries = carray(pointer(queries, like), (batch, heads, length, width))
    keys = carray(pointer(keys, like), (batch, kv_heads, length, width))
    values = carray(pointer(values, like), (batch, kv_heads, length, width))
    rotary = carray(pointer(rotary, ZERO), (2, length, width // 2))
    query_weight = carray(pointer(query_weight, ZERO), width)
    key_weight = carray(pointer(key_weight, ZERO), width)
    scales = carray(pointer(scales, ZERO), (batch, length, heads + kv_heads))
    row = carray(pointer(row, ZERO), width)
    for b in range(batch):
        for t in range(length):
            cos, sin = rotary[0, t], rotary[1, t]
            for h in range(heads + kv_heads):
                source = packed[b, t, h]
                queried = h < heads
                target = queries[b, h, t] if queried else keys[b, h - heads, t]
                for j in range(width):
                    row[j] = wide(source[j])
                if normed:
                    weight = query_weight if queried else key_weight
                    scales[b, t, h] = normalise(row, weight, epsilon)
                if turned:
                    turn(row, cos, sin)
                last = factor if queried else ONE
                for j in range(width):
                    target[j] = narrow(row[j] * last, like)
            for h in range(kv_heads):
                source, target = packed[b, t, heads + kv_heads + h], values[b, h, t]
                for j in range(width):
                    target[j] = source[j]


@inner
def normalise(row, weight, epsilon):
    """RMSNorm of a row, in place; its scale."""
    squares = ZERO
    for j in range(len(row)):
        squares += row[j] * row[j]
    scale = ONE / np.sqrt(squares / np.float32(len(row)) + epsilon)
    for j in range(len(row)):
        row[j] *= scale * weight[j]
    return scale


@inner
def turn(row, cos, sin):
    """Turn a row by angles, its first half with its second."""
    second = row[len(cos) :]  # sliced: numba looks whether an index that was added to is negative
    for j in range(len(cos)):
        real, imaginary = row[j], second[j]
        row[j] = real * cos[j] - imaginary * sin[j]
        second[j] = imaginary * cos[j] + real * sin[j]


@inner
def turn_back(row, cos, sin):
    second = row[len(cos) :]
    for j in range(len(cos)):
        real, imaginary = row[j], second[j]
        row[j] = real * cos[j] + imaginary * sin[j]
        second[j] = imaginary * cos[j] - real * sin[j]


def join_heads(
    queries, keys, values, packed, source, rotary, query_weight, key_weight, scales, query_sum,
    key_sum, row, batch, length, heads, kv_heads, width, factor: np.float32, turned: bool,
    normed: bool, like,
):  # fmt: skip
    """The way back of `part_heads`, for slopes: what it was given changes by, into packed.

    source: what was parted. What the weights change by is added to query_sum and key_sum (D,). row
    (D,) float32: to work in.
    """
    packed = carray(pointer(packed, like), (batch, length, heads + 2 * kv_heads, width))
    source = carray(pointer(source, like), (batch, length, heads + 2 * kv_heads, width))
    queries = carray(pointer(queries, like), (batch, heads, length, width))
    keys = carray(pointer(keys, like), (batch, kv_heads, length, width))
    values = carray(pointer(values, like), (batch, kv_heads, length, width))
    rotary = carray(pointer(rotary, ZERO), (2, length, width // 2))
    query_weight = carray(pointer(query_weight, ZERO), width)
    key_weight = carray(pointer(key_weight, ZERO), width)
    query_sum = carray(pointer(query_sum, ZERO), width)
    key_sum = carray(pointer(key_sum, ZERO), width)
    scales = carray(pointer(scales, ZERO), (batch, length, heads + kv_heads))
    row = carray(pointer(row, ZERO), width)
    for b in range(batch):
        for t in range(length):
            cos, sin = rotary[0, t], rotary[1, t]
            for h in range(heads + kv_heads):
                target = packed[b, t, h]
                queried = h < heads
                slope = queries[b, h, t] if queried else keys[b, h - heads, t]
                last = factor if queried else ONE
                for j in range(width):
                    row[j] = wide(slope[j]) * last
                if turned:
                    turn_back(row, cos, sin)
                if normed:
                    weight = query_weight if queried else key_weight
                    total = query_sum if queried else key_sum
                    x, scale = source[b, t, h], scales[b, t, h]
                    mean = ZERO
                    for j in range(width):
                        product = row[j] * wide(x[j]) * scale
                        total[j] += product
                        mean += product * weight[j]
                    mean /= np.float32(width)
                    for j in range(width):
                        row[j] = scale * (row[j] * weight[j] - wide(x[j]) * scale * mean)
                for j in range(width):
                    target[j] = narrow(row[j], like)
            for h in range(kv_heads):
                target, slope = packed[b, t, heads + kv_heads + h], values[b, h, t]
                for j in range(width):
                    target[j] = slope[j]


def masked_softmax(scores, mask, shares, products, rows, block, keys, like):
    """Softmax of scores (products, rows, keys) over the keys that a query sees, in place.

    Rows are blocks of `block` queries, one for each head of a group; to the last `block` keys' scores the
    mask (block, block) is added, float32: 0, or -inf where a query does not see a key. shares (keys,)
    float32: to work in.
    """
    scores = carray(pointer(scores, like), (products, rows, keys))
    mask, before = carray(pointer(mask, ZERO), (block, block)), keys - block
    shares = carray(pointer(shares, ZERO), keys)
    for n in range(products):
        for i in range(rows):
            row, query = scores[n, i], mask[np.uint64(i) % np.uint64(block)]
            for j in range(before):
                shares[j] = wide(row[j])
            tail, last = row[before:], shares[before:]
            for j in range(block):
                last[j] = wide(tail[j]) + query[j]
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
