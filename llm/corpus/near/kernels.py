"""The inner loops of deduplication, compiled: shingle sets, MinHash bands, comparing, clustering.

Call them through minhash and clusters, which always hand over arrays of the same types: another
type would be compiled again.
"""

import numpy as np

from llm.compiled import compiled
from llm.corpus.text.points import spread

_STEP = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@compiled
def shingle_sets(hashes, offsets, n):  # type: ignore[no-untyped-def]
    """The set of word n-grams of each text from its words' hashes: see `minhash.shingle_sets`."""
    texts = len(offsets) - 1
    longest = 0
    for text in range(texts):
        longest = max(longest, offsets[text + 1] - offsets[text])
    raw = np.empty(longest, np.uint32)
    places = np.empty(longest + 1, np.int64)
    flat = np.empty(len(hashes), np.uint32)
    bounds = np.zeros(texts + 1, np.int64)
    for text in range(texts):
        begin, end = offsets[text], offsets[text + 1]
        width = min(n, end - begin)
        count = end - begin - width + 1 if end > begin else 0
        for at in range(count):
            key = np.uint64(width)
            for word in range(begin + at, begin + at + width):
                key = (key + hashes[word]) * _STEP
            raw[at] = np.uint32(spread(key) >> _HALF)
        first = bounds[text]
        bounds[text + 1] = first + _sort_distinct(raw, count, places, flat[first:])
    return flat[: bounds[texts]].copy(), bounds


@compiled
def _sort_distinct(values, count, places, out):  # type: ignore[no-untyped-def]
    """Sort values[:count] into `out`, each once; returns how many.

    Hashes are spread evenly, so value * count / 2^32 is nearly where each belongs: one pass puts
    them there, and the insertion sort that follows moves each by a few places.
    """
    size = np.uint64(count)
    places[: count + 1] = 0
    for at in range(count):
        places[np.int64((np.uint64(values[at]) * size) >> _HALF) + 1] += 1
    for at in range(count):
        places[at + 1] += places[at]
    for at in range(count):
        place = np.int64((np.uint64(values[at]) * size) >> _HALF)
        out[places[place]] = values[at]
        places[place] += 1
    kept = np.int64(0)
    for at in range(count):
        value = out[at]
        place = kept
        while place > 0 and out[place - 1] > value:
            place -= 1
        if place > 0 and out[place - 1] == value:
            continue
        for later in range(kept, place, -1):
            out[later] = out[later - 1]
        out[place] = value
        kept += 1
    return kept


@compiled
def band_keys(flat, bounds, factors, shifts, bands, rows):  # type: ignore[no-untyped-def]
    """A key for each set and band (D, bands): see `minhash.band_keys`."""
    sets, count = len(bounds) - 1, bands * rows
    keys = np.zeros((sets, bands), np.uint64)
    low = np.empty(count, np.uint32)
    for one in range(sets):
        low[:] = np.uint32(0xFFFFFFFF)
        at, end = bounds[one], bounds[one + 1]
        # Four shingles at a time: the tables are read and the minima written once for all of them.
        while at + 3 < end:
            a, b, c, d = flat[at], flat[at + 1], flat[at + 2], flat[at + 3]
            for row in range(count):
                factor, shift = factors[row], shifts[row]
                ab = min(np.uint32(a * factor + shift), np.uint32(b * factor + shift))
                cd = min(np.uint32(c * factor + shift), np.uint32(d * factor + shift))
                low[row] = min(low[row], min(ab, cd))
            at += 4
        while at < end:
            a = flat[at]
            for row in range(count):
                low[row] = min(low[row], np.uint32(a * factors[row] + shifts[row]))
            at += 1
        for band in range(bands):
            key = np.uint64(band)
            for row in range(band * rows, (band + 1) * rows):
                key = (key + np.uint64(low[row])) * _STEP
                key ^= key >> _HALF
            keys[one, band] = key
    return keys


@compiled
def jaccard(a, b, least):  # type: ignore[no-untyped-def]
    """|a ∩ b| / |a ∪ b| of two sorted sets, or 0 as soon as it cannot reach `least`."""
    together = len(a) + len(b)
    # One less than must be shared, so that rounding never drops a pair that just reaches it.
    needed = np.int64(least / (1.0 + least) * together) - 1
    i = j = shared = 0
    while i < len(a) and j < len(b):
        if shared + min(len(a) - i, len(b) - j) < needed:
            return 0.0
        x, y = a[i], b[j]
        shared += x == y
        i += x <= y
        j += y <= x
    return shared / (together - shared) if together else 0.0


# Long: one parameter a line, since numba takes no objects; the code is of 40 lines.
@compiled
def join(  # type: ignore[no-untyped-def]
    first,
    last,
    fixed,
    guests,
    slots,
    lists,
    entries,
    flat,
    starts,
    ends,
    threshold,
    most,
    crowd,
    of,
    alike,
):
    """Let the documents first to last - 1 join clusters: see `clusters.cluster`.

    lists: (B, 3) first and last entry and length of each bucket's list of representatives.
    entries: (E, 2) representative and next entry; entries[0, 0] is how many are used.
    """
    bands = slots.shape[1]
    times = np.zeros(len(of), np.int32)
    met = np.empty(bands * crowd, np.int32)
    for index in range(first, last):
        mine = flat[starts[index] : ends[index]]
        found = 0
        if index >= fixed:
            for band in range(bands):
                slot = slots[index, band]
                entry = lists[slot, 0] if slot >= 0 else 0
                while entry > 0:
                    other = entries[entry, 0]
                    if times[other] == 0:
                        met[found] = other
                        found += 1
                    times[other] += 1
                    entry = entries[entry, 1]
        best, highest = -1, threshold
        for earlier in range(2):  # those of earlier nights first: they win
            if best >= 0:
                break
            compared = 0
            for shared in range(bands, 0, -1):
                for at in range(found):
                    other = met[at]
                    if times[other] != shared or (other < fixed) != (earlier == 0):
                        continue
                    if compared == most:
                        break
                    compared += 1
                    theirs = flat[starts[other] : ends[other]]
                    value = jaccard(mine, theirs, highest)
                    if value > highest or (value == highest and best < 0):
                        best, highest = other, value
        for at in range(found):
            times[met[at]] = 0
        if best >= 0:
            of[index], alike[index] = best, highest
        elif index < guests:
            _list(index, slots, lists, entries, crowd)


@compiled
def _list(index, slots, lists, entries, crowd):  # type: ignore[no-untyped-def]
    """Put a representative at the end of its buckets' lists, where they are not full."""
    for band in range(slots.shape[1]):
        slot = slots[index, band]
        if slot < 0 or lists[slot, 2] == crowd:
            continue
        entry = entries[0, 0] + 1
        entries[0, 0] = entry
        entries[entry, 0], entries[entry, 1] = index, 0
        if lists[slot, 2]:
            entries[lists[slot, 1], 1] = entry
        else:
            lists[slot, 0] = entry
        lists[slot, 1] = entry
        lists[slot, 2] += 1


@compiled
def pairs_among(members, flat, starts, ends, threshold, most):  # type: ignore[no-untyped-def]
    """Verified pairs of the first `most` members with all after them: (a (P,), b (P,), similarity)."""
    count = len(members)
    room = min(most, count) * count
    later, earlier = np.empty(room, np.int64), np.empty(room, np.int64)
    alike = np.empty(room, np.float64)
    found = 0
    for place in range(min(most, count)):
        ours = flat[starts[members[place]] : ends[members[place]]]
        for after in range(place + 1, count):
            theirs = flat[starts[members[after]] : ends[members[after]]]
            value = jaccard(ours, theirs, threshold)
            if value >= threshold:
                later[found], earlier[found], alike[found] = members[after], members[place], value
                found += 1
    return later[:found].copy(), earlier[:found].copy(), alike[:found].copy()
