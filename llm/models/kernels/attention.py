"""What attention does before its products and after them: heads are parted, normalised and turned.

Heads: rows of a product hold all heads of a position side by side, (B, T, heads, D); attention's
products want each head's positions one after the other, (B, heads, T, D).
"""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

from llm.compiled import inner
from llm.models.kernels.numbers import ONE, ZERO, narrow, pointer, wide


def to_rows(x, y, places, batch, heads, length, width, placed: bool, like):
    """x (batch, heads, length, width) → rows y (rows, heads, width).

    places (batch, length): to which row each position goes, where placed; below 0: to none. Where not,
    positions are rows in their order.
    """
    x = carray(pointer(x, like), (batch, heads, length, width))
    y = carray(pointer(y, like), (batch * length, heads, width))
    places = carray(pointer(places, np.int64(0)), batch * length)
    for b in range(batch):
        for t in range(length):
            place = places[b * length + t] if placed else b * length + t
            if place >= 0:
                for h in range(heads):
                    source, target = x[b, h, t], y[place, h]
                    for j in range(width):
                        target[j] = source[j]


def to_heads(x, y, places, batch, heads, length, width, placed: bool, like):
    """The way back of `to_rows`: x (rows, heads, width) → y; positions without a row are 0."""
    x = carray(pointer(x, like), (batch * length, heads, width))
    y = carray(pointer(y, like), (batch, heads, length, width))
    places = carray(pointer(places, np.int64(0)), batch * length)
    for b in range(batch):
        for t in range(length):
            place = places[b * length + t] if placed else b * length + t
            for h in range(heads):
                target = y[b, h, t]
                if place >= 0:
                    source = x[place, h]
                    for j in range(width):
                        target[j] = source[j]
                else:
                    for j in range(width):
                        target[j] = narrow(ZERO, like)


def part_heads(
    packed, queries, keys, values, rotary, query_weight, key_weight, scales, row, places, batch,
    length, period, heads, kv_heads, width, factor: np.float32, epsilon: np.float32, turned: bool,
    normed: bool, placed: bool, like,
):  # fmt: skip
    """packed (rows, H + 2 K, D) → queries (B, H, T, D), keys and values (B, K, T, D).

    places (B, T): the row of each position, where placed; below 0: none, and its heads are 0. Where
    not, positions are rows in their order. Queries and keys are normalised (RMSNorm; weights (D,);
    scales (B, T, H + K) are kept) where normed, and turned by the angles of their row (rotary (2,
    period, D/2): cos, sin; rows begin again at each period) where turned; queries are multiplied by
    factor. row (D,) float32: to work in.
    """
    packed = carray(pointer(packed, like), (batch * length, heads + 2 * kv_heads, width))
    queries = carray(pointer(queries, like), (batch, heads, length, width))
    keys = carray(pointer(keys, like), (batch, kv_heads, length, width))
    values = carray(pointer(values, like), (batch, kv_heads, length, width))
    rotary = carray(pointer(rotary, ZERO), (2, period, width // 2))
    query_weight = carray(pointer(query_weight, ZERO), width)
    key_weight = carray(pointer(key_weight, ZERO), width)
    scales = carray(pointer(scales, ZERO), (batch, length, heads + kv_heads))
    row = carray(pointer(row, ZERO), width)
    places = carray(pointer(places, np.int64(0)), batch * length)
    for b in range(batch):
        for t in range(length):
            place = places[b * length + t] if placed else b * length + t
            if place < 0:
                empty(queries, b, t, like)
                empty(keys, b, t, like)
                empty(values, b, t, like)
                continue
            turn_of = np.uint64(place) % np.uint64(period)
            cos, sin = rotary[0, turn_of], rotary[1, turn_of]
            for h in range(heads + kv_heads):
                source = packed[place, h]
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
                source, target = packed[place, heads + kv_heads + h], values[b, h, t]
                for j in range(width):
                    target[j] = source[j]


@inner
def empty(x, b, t, like):
    """Position t of x (B, heads, T, D) becomes 0."""
    for h in range(x.shape[1]):
        for j in range(x.shape[3]):
            x[b, h, t, j] = narrow(ZERO, like)


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
    key_sum, row, places, batch, length, period, heads, kv_heads, width, factor: np.float32,
    turned: bool, normed: bool, placed: bool, like,
):  # fmt: skip
    """The way back of `part_heads`, for slopes: what it was given changes by, into packed.

    source: what was parted. What the weights change by is added to query_sum and key_sum (D,). row
    (D,) float32: to work in.
    """
    packed = carray(pointer(packed, like), (batch * length, heads + 2 * kv_heads, width))
    source = carray(pointer(source, like), (batch * length, heads + 2 * kv_heads, width))
    queries = carray(pointer(queries, like), (batch, heads, length, width))
    keys = carray(pointer(keys, like), (batch, kv_heads, length, width))
    values = carray(pointer(values, like), (batch, kv_heads, length, width))
    rotary = carray(pointer(rotary, ZERO), (2, period, width // 2))
    query_weight = carray(pointer(query_weight, ZERO), width)
    key_weight = carray(pointer(key_weight, ZERO), width)
    query_sum = carray(pointer(query_sum, ZERO), width)
    key_sum = carray(pointer(key_sum, ZERO), width)
    scales = carray(pointer(scales, ZERO), (batch, length, heads + kv_heads))
    row = carray(pointer(row, ZERO), width)
    places = carray(pointer(places, np.int64(0)), batch * length)
    for b in range(batch):
        for t in range(length):
            place = places[b * length + t] if placed else b * length + t
            if place < 0:
                continue
            turn_of = np.uint64(place) % np.uint64(period)
            cos, sin = rotary[0, turn_of], rotary[1, turn_of]
            for h in range(heads + kv_heads):
                target = packed[place, h]
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
                    x, scale = source[place, h], scales[b, t, h]
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
                target, slope = packed[place, heads + kv_heads + h], values[b, h, t]
                for j in range(width):
                    target[j] = slope[j]
