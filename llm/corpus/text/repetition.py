"""How much a text repeats itself, compiled: pieces and n-grams in a hash table for each text."""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np

from llm.compiled import inner
from llm.corpus.text.points import folded_in, spread

# The low half of a table's entry.
COUNT, SEEN = (1 << 31) - 1, 1 << 31


@inner
def table_size(count):
    """A power of two that leaves at least half of a hash table free."""
    size = 16
    while size < 2 * count:
        size *= 2
    return size


@inner
def repeated(hashes, sizes, count, table):
    """How many of the first `count` pieces occurred before, and their characters."""
    size = table_size(count)
    table[:size] = 0
    mask = np.uint64(size - 1)
    number, characters = 0, 0
    for at in range(count):
        key = spread(hashes[at]) | np.uint64(1)
        place = key & mask
        while table[place] and table[place] != key:
            place = (place + np.uint64(1)) & mask
        if table[place]:
            number += 1
            characters += sizes[at]
        else:
            table[place] = key
    return number, characters


# Long: the nine rounds share arrays that are counted in and out where they are handed to a function.
@inner
def measure_n_grams(hashes, lengths, count, before, at, grams, places, table, out):
    """Characters in the commonest 2- to 4-grams and in repeated 5- to 10-grams: out[1:10].

    out[0] is the number of different 2-grams. Where an n-gram repeats, so does the (n - 1)-gram it
    begins with: each round looks only at what repeated in the one before. Reading from left to
    right, a repeated n-gram counts where it does not overlap the last one counted; n-grams that
    begin inside one that counted are not remembered.

    An entry of the table holds 32 bits of an n-gram's hash, whether it was seen, and how often.
    """
    total = 0
    for token in range(count):
        before[token] = total
        total += lengths[token]
        at[token] = token
        grams[token] = hashes[token]
    before[count] = total
    left = count
    for n in range(2, 11):
        size = table_size(left)
        table[:size] = 0
        mask = np.uint64(size - 1)
        number, different = 0, 0
        while number < left and at[number] + n <= count:
            key = grams[number] * np.uint64(0x9E3779B97F4A7C15)
            key = folded_in(key, hashes[at[number] + n - 1])
            place = key & mask
            entry = table[place]
            high = key | np.uint64(1 << 32)
            while entry and (entry ^ high) >> np.uint64(32):
                place = (place + np.uint64(1)) & mask
                entry = table[place]
            if not entry:
                entry = high & np.uint64(0xFFFFFFFF00000000)
                different += 1
            table[place] = entry + np.uint64(1)
            grams[number], places[number] = key, place
            number += 1
        if n == 2:
            out[0] = different
        left = 0
        for index in range(number):  # without a branch, which could not be foreseen
            place = places[index]
            at[left], grams[left], places[left] = at[index], grams[index], place
            left += table[place] & np.uint64(COUNT) > 1
        if n <= 4:
            most, best = 1, 0
            for index in range(left):
                times = np.int64(table[places[index]] & np.uint64(COUNT))
                if times > most:
                    most, best = times, at[index]
            if count >= n:
                out[n - 1] = (before[best + n] - before[best] + n - 1) * most
        else:
            covered, free = 0, 0
            for index in range(left):
                start, place = at[index], places[index]
                if start >= free:
                    if table[place] & np.uint64(SEEN):
                        covered += before[start + n] - before[start]
                        free = start + n
                    table[place] |= np.uint64(SEEN)
            out[n - 1] = covered
