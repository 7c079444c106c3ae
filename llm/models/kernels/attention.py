"""What attention does besides matrix products: heads are parted, normalised and turned; softmax.

Heads: rows of a product hold all heads of a position side by side, (B, T, heads, D); attention's
products want each head's positions one after the other, (B, heads, T, D).
"""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np
from numba import carray

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
    sweep,
    wide,
)


@sweep
def part_heads(
    packed, parted, rotary, weight, scales, batch, length, before, heads, all_heads, width,
    factor, epsilon, turned, normed, like,
):  # fmt: skip
    """Heads `before` to `before + heads` of packed (B, T, all_heads, D) → parted (B, heads, T, D).

    Each row is normalised (RMSNorm, weight (D,), scales (B, T, heads) kept) where normed, turned by the
    angles of its position (rotary (2, T, D/2): cos, sin) where turned, and multiplied by factor.
    """
    packed = carray(pointer(packed, like), (batch, length, all_heads, width))
    parted = carray(pointer(parted, like), (batch, heads, length, width))
    half = width // 2
    rotary = carray(pointer(rotary, ZERO), (2, length, half))
    weight = carray(pointer(weight, ZERO), width)
    scales = carray(pointer(scales, ZERO), (batch, length, heads))
    row = np.empty(width, np.float32)
    second = row[half:]  # sliced: numba looks whether an index that was added to is negative
    for b in range(batch):
        for h in range(heads):
            for t in range(length):
                source, target = packed[b, t, before + h], parted[b, h, t]
                for j in range(width):
                    row[j] = wide(source[j]) * factor
                if normed:
                    squares = ZERO
                    for j in range(width):
                        squares += wide(source[j]) * wide(source[j])
                    scale = ONE / np.sqrt(squares / np.float32(width) + epsilon)
                    scales[b, t, h] = scale
                    for j in range(width):
                        row[j] *= scale * weight[j]
                if turned:
                    cos, sin, upper = rotary[0, t], rotary[1, t], target[half:]
                    for j in range(half):
                        target[j] = narrow(row[j] * cos[j] - second[j] * sin[j], like)
                        upper[j] = narrow(second[j] * cos[j] + row[j] * sin[j], like)
                else:
                    for j in range(width):
                        target[j] = narrow(row[j], like)


@sweep
def join_slopes(
    parted, packed, source, rotary, weight, scales, grad_weight, batch, length, before, heads,
    all_heads, width, factor, turned, normed, like,
):  # fmt: skip
    """The way back of `part_heads`: slopes parted (B, heads, T, D) → packed (B, T, all_heads, D).

    source: what was parted, (B, T, all_heads, D); what the weight changes by is added to grad_weight.
    """
    parted = carray(pointer(parted, like), (batch, heads, length, width))
    packed = carray(pointer(packed, like), (batch, length, all_heads, width))
    source = carray(pointer(source, like), (batch, length, all_heads, width))
    half = width // 2
    rotary = carray(pointer(rotary, ZERO), (2, length, half))
    weight = carray(pointer(weight, ZERO), width)
    scales = carray(pointer(scales, ZERO), (batch, length, heads))
    grad_weight = carray(pointer(grad_weight, ZERO), width)
    row = np.empty(width, np.float32)
    second = row[half:]  # sliced: numba looks whether an index that was added to is negative
    for b in range(batch):
        for h in range(heads):
            for t in range(length):
                slope, target = parted[b, h, t], packed[b, t, before + h]
                if turned:
                    cos, sin, upper = rotary[0, t], rotary[1, t], slope[half:]
                    for j in range(half):
                        row[j] = (wide(slope[j]) * cos[j] + wide(upper[j]) * sin[j]) * factor
                        second[j] = (wide(upper[j]) * cos[j] - wide(slope[j]) * sin[j]) * factor
                else:
                    for j in range(width):
                        row[j] = wide(slope[j]) * factor
                if normed:
                    x, scale = source[b, t, before + h], scales[b, t, h]
                    mean = ZERO
                    for j in range(width):
                        product = row[j] * wide(x[j]) * scale
                        grad_weight[j] += product
                        mean += product * weight[j]
                    mean /= np.float32(width)
                    for j in range(width):
                        row[j] = scale * (row[j] * weight[j] - wide(x[j]) * scale * mean)
                for j in range(width):
                    target[j] = narrow(row[j], like)


@sweep
def masked_softmax(scores, mask, products, rows, block, keys, like):
    """Softmax of scores (products, rows, keys) over the keys that a query sees, in place.

    Rows are blocks of `block` queries, one for each head of a group; to the last `block` keys' scores the
    mask (block, block) is added, float32: 0, or -inf where a query does not see a key.
    """
    scores = carray(pointer(scores, like), (products, rows, keys))
    mask, before = carray(pointer(mask, ZERO), (block, block)), keys - block
    shares = np.empty(keys, np.float32)
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


@sweep
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
