"""Byte n-grams counted and looked up in a hash table, compiled: called through `perplexity`.

A key packs the bytes of an n-gram, each plus one, in 9 bits each, the last in the lowest: it says
its length, too, and 0 is the empty one and a free place in the table.
"""

# mypy: ignore-errors
# (types are numba's here)

import math

import numpy as np

from llm.compiled import compiled, inner
from llm.corpus.text.points import spread

BITS = np.uint64(9)


@inner
def place_of(keys, key):
    """Where a key lies in a table (a power of two of places), or the free place for it."""
    mask = np.uint64(len(keys) - 1)
    place = spread(key) & mask
    while keys[place] and keys[place] != key:
        place = (place + np.uint64(1)) & mask
    return place


@compiled
def count_grams(data, offsets, order, first, keys, counts, used):
    """Count the n-grams, n up to `order`, of texts from `first` on: (next text, places used).

    Stops before a text for which a third of the table might not be left free.
    """
    room = 2 * len(keys) // 3
    for text in range(first, len(offsets) - 1):
        begin, end = offsets[text], offsets[text + 1]
        if used + (end - begin) * order > room:
            return text, used
        for at in range(begin, end):
            key, shift = np.uint64(0), np.uint64(0)
            for back in range(min(order, at - begin + 1)):
                key |= (np.uint64(data[at - back]) + np.uint64(1)) << shift
                shift += BITS
                place = place_of(keys, key)
                used += keys[place] == 0
                keys[place] = key
                counts[place] += 1
    return len(offsets) - 1, used


@compiled
def insert(found, numbers, keys, counts):
    """Put n-grams and their counts, none of them twice, into an empty table."""
    for at in range(len(found)):
        place = place_of(keys, found[at])
        keys[place], counts[place] = found[at], numbers[at]


@compiled
def sum_contexts(keys, counts, totals, kinds):
    """How often each n-gram was followed by a byte, and by how many different ones: for the empty
    one the two are given back."""
    total, different = 0, 0
    for at in range(len(keys)):
        key = keys[at]
        if key:
            context = key >> BITS
            if context:
                place = place_of(keys, context)
                totals[place] += counts[at]
                kinds[place] += 1
            else:
                total += counts[at]
                different += 1
    return total, different


@compiled
def bits_per_byte(data, offsets, order, keys, counts, totals, kinds, total, different):
    """-log2 p of each text for each of its bytes (D,) float64, NaN where there are none."""
    texts = len(offsets) - 1
    out = np.empty(texts)
    # Of the bytes just read, the last n of them for n from 0: packed, and what followed them.
    packed = np.zeros(order + 1, np.uint64)
    followed, variety = np.zeros(order + 1), np.zeros(order + 1)
    followed[0], variety[0] = total, different
    for text in range(texts):
        begin, end = offsets[text], offsets[text + 1]
        packed[1:], followed[1:], variety[1:] = 0, 0, 0
        bits = 0.0
        for at in range(begin, end):
            symbol = np.uint64(data[at]) + np.uint64(1)
            probability = 1 / 256
            seen = True
            new_total, new_kinds, new_key = followed[0], variety[0], np.uint64(0)
            for length in range(order):
                number, next_total, next_kinds = 0.0, 0.0, 0.0
                key = packed[length] << BITS | symbol
                if followed[length] == 0:
                    seen = False
                if seen:
                    place = place_of(keys, key)
                    if keys[place]:
                        number = counts[place]
                        next_total, next_kinds = totals[place], kinds[place]
                if followed[length]:
                    probability = (number + variety[length] * probability) / (
                        followed[length] + variety[length]
                    )
                # What belongs to `length` was read above: the new state takes its place.
                followed[length], variety[length], packed[length] = new_total, new_kinds, new_key
                new_total, new_kinds, new_key = next_total, next_kinds, key
                seen = seen and number > 0
            bits -= math.log2(probability)
        out[text] = bits / (end - begin) if end > begin else math.nan
    return out
