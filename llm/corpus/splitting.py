"""Text between white spaces as tokens, compiled: nearly what spaCy's rules for English give.

Filters were tuned on such tokens: a punctuation mark beside a word is a token of its own, and so
are n't and 's. A token becomes a hash and a length; what else is asked of it is counted at once.
"""

# mypy: ignore-errors
# (types are numba's here)

from llm.corpus.characters import (
    AFFIX,
    APOSTROPHE,
    DIGIT,
    HYPHEN,
    ICON,
    LETTER,
    LOWER,
    MARK,
    PREFIX,
    QUOTE,
    UNSPACED,
    UPPER,
    WORD,
)
from llm.corpus.compiled import SEED, breaks, folded_in, inner


@inner
def add_piece(points, kinds, first, last, found, values, lengths, every, some):
    """Note points[first:last] as one token, or as several where its script has no spaces.

    There a token is two units (two Han characters, two Thai letters with their vowels), or what is
    left of them between two changes of script; punctuation is a token of its own. `found` tokens
    are noted before; returns how many are after.
    """
    begin, units, before = first, 0, 0
    value, common, present = SEED, -1, 0
    for at in range(first, last):
        kind = kinds[at]
        if at > begin and (kind | present) & UNSPACED:
            ends = not kind & WORD or not before & WORD
            if not ends and breaks(before, kind):
                units += 1
                ends = units == 2 or (kind ^ before) & UNSPACED != 0
            if ends:
                values[found], lengths[found] = value, at - begin
                every[found], some[found] = common, present
                found += 1
                begin, units = at, 0
                value, common, present = SEED, -1, 0
        value = folded_in(value, points[at])
        common &= kind
        present |= kind
        if not kind & MARK:
            before = kind
    if last > begin:
        values[found], lengths[found] = value, last - begin
        every[found], some[found] = common, present
        found += 1
    return found


@inner
def dots_at(points, at, last):
    """How many full stops stand from `at` on."""
    end = at
    while end < last and points[end] == 46:
        end += 1
    return end - at


@inner
def suffix_length(points, kinds, first, last):
    """How many characters at the end of points[first:last] are a token of their own, 0 if none."""
    point, kind = points[last - 1], kinds[last - 1]
    if last - first < 2:
        return 0
    before_point, before = points[last - 2], kinds[last - 2]
    if point == 46:
        if before_point == 46:
            count = 2
            while last - count > first and points[last - count - 1] == 46:
                count += 1
            return count
        if before & (LOWER | DIGIT | QUOTE | AFFIX) or before_point in (37, 43, 45):
            return 1
        return 1 if before & UPPER and last - first > 2 and kinds[last - 3] & UPPER else 0
    if (point == 115 or point == 83) and before & APOSTROPHE:
        return 2
    if kind & AFFIX:
        return 1
    return 1 if before & DIGIT and (kind & PREFIX or point == 43) else 0


@inner
def is_address(points, kinds, first, last):
    """Whether points[first:last] is a web address: https://..., www. ... or name.tld/..."""
    dot = False
    for at in range(first, last - 2):
        point = points[at]
        if point == 58:
            return points[at + 1] == 47 and points[at + 2] == 47 and at > first + 2
        if point == 47:
            return dot
        if point == 46:
            dot = at > first and kinds[at + 1] & LETTER != 0 and kinds[at - 1] & WORD != 0
        elif not kinds[at] & WORD and point != 45:
            return False
    return False


@inner
def contraction(points, kinds, first, last):
    """Where n't, 're, 've, 'll, 'd or 'm begins at the end of points[first:last]; `last` if not."""
    end = points[last - 1] | 32
    if end == 116:  # n't
        at = last - 3
        if at <= first or points[at] | 32 != 110 or not kinds[at + 1] & APOSTROPHE:
            return last
    elif end == 100 or end == 109:
        at = last - 2
        if at <= first or not kinds[at] & APOSTROPHE:
            return last
    elif end == 101 or end == 108:
        at = last - 3
        if at <= first or not kinds[at] & APOSTROPHE:
            return last
        middle = points[at + 1] | 32
        if not (middle == 108 if end == 108 else middle == 114 or middle == 118):
            return last
    else:
        return last
    return at if kinds[at - 1] & LETTER else last


@inner
def infix_length(points, kinds, at, first, last):
    """How many characters at `at` split points[first:last] and are a token; 0 if they do not."""
    point, kind = points[at], kinds[at]
    if point == 46 and at + 1 < last and points[at + 1] == 46:
        return dots_at(points, at, last)
    if point == 0x2026 or kind & ICON:
        return 1
    if at == first or at + 1 == last:
        return 0
    before, after = kinds[at - 1], kinds[at + 1]
    if before & DIGIT and (after & DIGIT or points[at + 1] == 45) and point in (43, 45, 42, 94):
        return 1
    if point == 46:
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if point == 44:
        return 1 if before & LETTER and after & LETTER else 0
    if not before & (LETTER | DIGIT):
        return 0
    if kind & HYPHEN:
        size = 1
        while at + size < last and points[at + size] == point and size < 3 and point != 126:
            size += 1
        return size if at + size < last and kinds[at + size] & LETTER else 0
    return 1 if after & LETTER and point in (58, 60, 62, 61, 47) else 0


@inner
def prefix_length(points, kinds, first, last):
    """How many characters at the start of points[first:last] are a token of their own."""
    if points[first] == 46:
        size = dots_at(points, first, last)
        return size if size > 1 else 0
    if points[first] == 43:
        return 0 if first + 1 < last and kinds[first + 1] & DIGIT else 1
    return 1 if kinds[first] & (AFFIX | PREFIX) else 0


@inner
def add_chunk(points, kinds, last, found, values, lengths, every, some, cuts):
    """Note the tokens in points[:last], which stand between two white spaces; returns how many.

    cuts: room for the places where a token begins.
    """
    first, tail, cut = 0, last, 0
    while first < tail:
        size = prefix_length(points, kinds, first, tail)
        if not size:
            break
        cuts[cut] = first
        cut += 1
        first += size
    end = len(cuts)
    while tail > first:
        size = suffix_length(points, kinds, first, tail)
        if not size:
            break
        tail -= size
        end -= 1
        cuts[end] = tail
    if tail > first:
        cuts[cut] = first
        cut += 1
        if not is_address(points, kinds, first, tail):
            body = contraction(points, kinds, first, tail)
            at = first
            while at < body:
                size = infix_length(points, kinds, at, first, tail)
                if size:
                    cuts[cut], cuts[cut + 1] = at, at + size
                    cut += 2
                at += max(1, size)
            if body < tail:
                cuts[cut] = body
                cut += 1
    while end < len(cuts):
        cuts[cut] = cuts[end]
        cut += 1
        end += 1
    cuts[cut] = last
    for piece in range(cut):
        head, tail = cuts[piece], cuts[piece + 1]
        found = add_piece(points, kinds, head, tail, found, values, lengths, every, some)
    return found
