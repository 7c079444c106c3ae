"""Learning merges: the commonest pair of neighbours becomes one symbol, again and again, compiled.

Only what a merge touches is counted again (Sennrich et al. 2016, section 3.2): each pair knows the
pieces that it was seen in, and a heap the commonest pair, whose entries are checked when they come
out of it.
"""

# mypy: disable-error-code="no-untyped-def, assignment"
# (the types of compiled functions are numba's)

from typing import Any, Literal

import numpy as np

from llm.compiled import compiled, inner
from llm.corpus.text.points import spread

LIBRARIES = ("numpy",)

Array = np.ndarray[Any, np.dtype[Any]]
Ties = Literal["lowest", "greatest"]


def learn_merges(
    symbols: Array,
    starts: Array,
    counts: Array,
    alphabet: list[bytes],
    vocabulary: int,
    least: int,
    ties: Ties = "lowest",
) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Learn merges until there are `vocabulary` symbols or no pair occurs `least` times any more.

    symbols: (S,) int32 of all pieces, which begin at starts (pieces + 1,), each counts (pieces,)
    times there. alphabet: what the first symbols spell. Of pairs that are as common, the one of the
    lowest symbols comes first, as in Hugging Face's tokenizers, or the one that is the greatest as
    a pair of byte strings. Two ways to spell the same are one symbol.

    Returns what each symbol spells, and the merges in order.
    """
    spelled = np.frombuffer(b"".join(alphabet), np.uint8)
    ends = np.zeros(len(alphabet) + 1, np.int64)
    np.cumsum([len(one) for one in alphabet], out=ends[1:])
    data, bounds, merges = _learn(
        symbols.astype(np.int32), starts, counts, spelled, ends,
        max(vocabulary, len(alphabet)), max(1, least), ties == "greatest",
    )  # fmt: skip
    text = data.tobytes()
    tokens = [text[a:b] for a, b in zip(bounds.tolist(), bounds[1:].tolist(), strict=False)]
    return tokens, [(left, right) for left, right in merges.tolist()]


@inner
def _larger(array, size):
    """The array, in a place with room for `size` or more."""
    if size <= len(array):
        return array
    larger = np.empty(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


@inner
def _find(slots, keys, key):
    """Where in `slots` the pair `key` is, or the empty slot where it belongs."""
    mask = np.uint64(len(slots) - 1)
    place = spread(np.uint64(key)) & mask
    while slots[place] >= 0 and keys[slots[place]] != key:
        place = (place + np.uint64(1)) & mask
    return place


@inner
def _less(spelled, bounds, left, right):
    """Compare what two symbols spell: -1, 0 or 1, as bytes compare."""
    a, b = bounds[left], bounds[right]
    while a < bounds[left + 1] and b < bounds[right + 1]:
        if spelled[a] != spelled[b]:
            return -1 if spelled[a] < spelled[b] else 1
        a += 1
        b += 1
    more = (bounds[left + 1] - a) - (bounds[right + 1] - b)
    return 0 if more == 0 else (1 if more > 0 else -1)


@inner
def _first(count, key, other_count, other_key, greatest, spelled, bounds):
    """Whether a pair comes before another."""
    if count != other_count:
        return count > other_count
    if not greatest:
        return key < other_key
    order = _less(spelled, bounds, key >> 32, other_key >> 32)
    if order == 0:
        order = _less(spelled, bounds, key & 0xFFFFFFFF, other_key & 0xFFFFFFFF)
    return order > 0


@inner
def _push(heap_counts, heap_pairs, size, count, pair, keys, greatest, spelled, bounds):
    at = size
    while at > 0:
        above = (at - 1) >> 1
        other = heap_pairs[above]
        if not _first(
            count, keys[pair], heap_counts[above], keys[other], greatest, spelled, bounds
        ):
            break
        heap_counts[at], heap_pairs[at] = heap_counts[above], other
        at = above
    heap_counts[at], heap_pairs[at] = count, pair


@inner
def _pop(heap_counts, heap_pairs, size, keys, greatest, spelled, bounds):
    """Take out the first of `size` entries: the last one sinks from the top."""
    last = size - 1
    count, pair = heap_counts[last], heap_pairs[last]
    at = np.int64(0)
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and _first(
            heap_counts[below + 1], keys[heap_pairs[below + 1]],
            heap_counts[below], keys[heap_pairs[below]],
            greatest, spelled, bounds,
        ):  # fmt: skip
            below += 1
        if _first(
            count, keys[pair], heap_counts[below], keys[heap_pairs[below]],
            greatest, spelled, bounds,
        ):  # fmt: skip
            break
        heap_counts[at], heap_pairs[at] = heap_counts[below], heap_pairs[below]
        at = below
    heap_counts[at], heap_pairs[at] = count, pair


@inner
def _spelling(places, spelled, bounds, begin, end):
    """Where in `places` the symbol that spells spelled[begin:end] is, or where it belongs."""
    key = np.uint64(0)
    for at in range(begin, end):
        key = spread(key ^ np.uint64(spelled[at]))
    mask = np.uint64(len(places) - 1)
    place = key & mask
    while places[place] >= 0:
        other = places[place]
        same = bounds[other + 1] - bounds[other] == end - begin
        at = np.int64(0)
        while same and at < end - begin:
            same = spelled[bounds[other] + at] == spelled[begin + at]
            at += 1
        if same:
            break
        place = (place + np.uint64(1)) & mask
    return place


# Long: the tables grow in it, each of which numba would count in and out, and give back, where a part of the
# loop is a function of its own.
@compiled
def _learn(symbols, starts, counts, alphabet, ends, vocabulary, least, greatest):
    pieces = len(counts)
    lengths = np.diff(starts)

    # What symbols spell, and which symbol spells what.
    known = len(ends) - 1
    spelled = np.empty(len(alphabet) + 16 * (vocabulary - known) + 16, np.uint8)
    spelled[: len(alphabet)] = alphabet
    bounds = np.empty(vocabulary + 2, np.int64)
    bounds[: known + 1] = ends
    room = 1024
    while room < 2 * vocabulary:
        room *= 2
    places = np.full(room, -1, np.int64)
    for symbol in range(known):
        place = _spelling(places, spelled, bounds, bounds[symbol], bounds[symbol + 1])
        places[place] = symbol

    # Pairs: key (left << 32 | right), how often they occur, and the chain of pieces they were seen in.
    slots = np.full(1 << 16, -1, np.int64)
    keys = np.empty(1 << 15, np.int64)
    totals = np.empty(1 << 15, np.int64)
    chains = np.empty(1 << 15, np.int64)
    touched = np.empty(1 << 15, np.int64)
    done = np.empty(1 << 15, np.bool_)
    pairs = 0
    link_pieces = np.empty(len(symbols) + 16, np.int32)
    link_next = np.empty(len(symbols) + 16, np.int64)
    links = 0

    heap_counts = np.empty(1 << 15, np.int64)
    heap_pairs = np.empty(1 << 15, np.int64)
    size = 0

    merges = np.empty((max(0, vocabulary - known) + 16, 2), np.int64)
    made = 0

    # Changes of one merge (the first of which is the text itself): pair, by how much, where.
    changed = np.empty(1 << 10, np.int64)
    by = np.empty(1 << 10, np.int64)
    where = np.empty(1 << 10, np.int32)
    changes = 0
    risen = np.empty(1 << 10, np.int64)
    round_number = np.int64(0)
    chosen = np.int64(-1)
    while True:
        # Which pieces change, and how.
        if chosen < 0:
            changed = _larger(changed, len(symbols))
            by = _larger(by, len(symbols))
            where = _larger(where, len(symbols))
            for piece in range(pieces):
                for at in range(starts[piece], starts[piece + 1] - 1):
                    changed[changes] = np.int64(symbols[at]) << 32 | np.int64(symbols[at + 1])
                    by[changes], where[changes] = counts[piece], piece
                    changes += 1
        else:
            left, right = keys[chosen] >> 32, keys[chosen] & 0xFFFFFFFF
            size_left = bounds[left + 1] - bounds[left]
            size_right = bounds[right + 1] - bounds[right]
            begin = bounds[known]
            end = begin + size_left + size_right
            spelled = _larger(spelled, end)
            spelled[begin : begin + size_left] = spelled[bounds[left] : bounds[left + 1]]
            spelled[begin + size_left : end] = spelled[bounds[right] : bounds[right + 1]]
            place = _spelling(places, spelled, bounds, begin, end)
            if places[place] < 0:
                places[place] = known
                bounds[known + 1] = end
                known += 1
            new = places[place]
            if not done[chosen]:
                done[chosen] = True
                if made == len(merges):
                    more = np.empty((2 * made, 2), np.int64)
                    more[:made] = merges
                    merges = more
                merges[made, 0], merges[made, 1] = left, right
                made += 1
            link = chains[chosen]
            while link >= 0:
                piece = link_pieces[link]
                link = link_next[link]
                first, length, count = starts[piece], lengths[piece], counts[piece]
                changed = _larger(changed, changes + 4 * length)
                by = _larger(by, changes + 4 * length)
                where = _larger(where, changes + 4 * length)
                read, write = np.int64(0), np.int64(0)
                while read < length:
                    symbol = symbols[first + read]
                    if symbol != left or read + 1 >= length or symbols[first + read + 1] != right:
                        symbols[first + write] = symbol
                        read += 1
                        write += 1
                        continue
                    if write > 0:
                        before = np.int64(symbols[first + write - 1]) << 32
                        changed[changes], by[changes] = before | left, -count
                        changed[changes + 1], by[changes + 1] = before | new, count
                        where[changes + 1] = piece
                        changes += 2
                    if read + 2 < length:
                        after = np.int64(symbols[first + read + 2])
                        changed[changes], by[changes] = right << 32 | after, -count
                        changed[changes + 1], by[changes + 1] = new << 32 | after, count
                        where[changes + 1] = piece
                        changes += 2
                    symbols[first + write] = new
                    read += 2
                    write += 1
                lengths[piece] = write
            chains[chosen] = -1

        # Count them.
        rising = 0
        for change in range(changes):
            place = _find(slots, keys, changed[change])
            pair = slots[place]
            if pair < 0:
                if 2 * (pairs + 1) > len(slots):
                    slots = np.full(2 * len(slots), -1, np.int64)
                    for pair in range(pairs):
                        slots[_find(slots, keys, keys[pair])] = pair
                    place = _find(slots, keys, changed[change])
                keys = _larger(keys, pairs + 1)
                totals = _larger(totals, pairs + 1)
                chains = _larger(chains, pairs + 1)
                touched = _larger(touched, pairs + 1)
                done = _larger(done, pairs + 1)
                pair = pairs
                keys[pair], totals[pair], chains[pair] = changed[change], 0, -1
                touched[pair], done[pair] = -1, False
                slots[place] = pair
                pairs += 1
            totals[pair] += by[change]
            if by[change] > 0:
                link_pieces = _larger(link_pieces, links + 1)
                link_next = _larger(link_next, links + 1)
                link_pieces[links], link_next[links] = where[change], chains[pair]
                chains[pair] = links
                links += 1
                if touched[pair] != round_number:
                    touched[pair] = round_number
                    risen = _larger(risen, rising + 1)
                    risen[rising] = pair
                    rising += 1
        changes = 0
        if chosen >= 0:
            totals[chosen] = 0
        for at in range(rising):
            pair = risen[at]
            if totals[pair] >= least:
                heap_counts = _larger(heap_counts, size + 1)
                heap_pairs = _larger(heap_pairs, size + 1)
                _push(
                    heap_counts, heap_pairs, size, totals[pair], pair,
                    keys, greatest, spelled, bounds,
                )  # fmt: skip
                size += 1

        # The commonest pair: an entry may say more than is left of it.
        chosen = np.int64(-1)
        while size > 0 and known < vocabulary:
            count, pair = heap_counts[0], heap_pairs[0]
            _pop(heap_counts, heap_pairs, size, keys, greatest, spelled, bounds)
            size -= 1
            if count == totals[pair]:
                chosen = pair
                break
            if totals[pair] >= least and count > totals[pair]:
                _push(
                    heap_counts, heap_pairs, size, totals[pair], pair,
                    keys, greatest, spelled, bounds,
                )  # fmt: skip
                size += 1
        if chosen < 0:
            return spelled[: bounds[known]].copy(), bounds[: known + 1].copy(), merges[:made].copy()
        round_number += 1
