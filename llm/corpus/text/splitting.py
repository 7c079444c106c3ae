"""Text between white spaces as tokens, compiled: nearly what spaCy's rules for English give.

Filters were tuned on such tokens: a punctuation mark beside a word is a token of its own, and so
are n't and 's. A token becomes a hash and a length; what else is asked of it is counted at once.
"""

# mypy: ignore-errors
# (types are numba's here)

from llm.compiled import inner
from llm.corpus.text.characters import (
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
from llm.corpus.text.points import SEED, breaks, folded_in

# Characters are passed to what follows one by one: an array would be counted in and out each time.
# A size of RUN means: as many of the same character as there are.
RUN = -1


@inner
def prefix_length(point, kind, next_point, next_kind):
    """How many characters at the start of a chunk are a token of their own, 0 if none."""
    if point == 46:
        return RUN if next_point == 46 else 0
    if point == 43:
        return 0 if next_kind & DIGIT else 1
    return 1 if kind & (AFFIX | PREFIX) else 0


@inner
def suffix_length(point, kind, before_point, before, third):
    """How many characters at the end of a chunk are a token of their own, 0 if none.

    point, kind: the last character; before, third: those ahead of it, 0 where there is none.
    """
    if point == 46:
        if before_point == 46:
            return RUN
        if before & LOWER and not third:
            return 0
        if before & (LOWER | DIGIT | QUOTE | AFFIX) or before_point in (37, 43, 45):
            return 1
        return 1 if before & UPPER and third & UPPER else 0
    if (point == 115 or point == 83) and before & APOSTROPHE:
        return 2
    if kind & AFFIX:
        return 1 if before_point else 0
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
def infix_length(point, kind, before, next_point, after):
    """How many characters split a chunk between `before` and `after` and are a token; 0 if none."""
    if point == 46 and next_point == 46:
        return RUN
    if point == 0x2026 or kind & ICON:
        return 1
    if not before or not next_point:
        return 0
    if before & DIGIT and (after & DIGIT or next_point == 45) and point in (43, 45, 42, 94):
        return 1
    if point == 46:
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if point == 44:
        return 1 if before & LETTER and after & LETTER else 0
    if not before & (LETTER | DIGIT):
        return 0
    if kind & HYPHEN:
        if after & LETTER:
            return 1
        return RUN if next_point == point and point != 126 else 0
    return 1 if after & LETTER and point in (58, 60, 62, 61, 47) else 0


# Long: one call for each chunk of a text, compiled. As three functions (cut the ends, cut the middle, note the
# tokens) its arrays would be counted in and out three times for each word.
@inner
def add_chunk(points, kinds, last, found, values, lengths, every, some, cuts):
    """Note the tokens in points[:last], which stand between two white spaces.

    `found` are noted before; returns how many are after. Where a script has no spaces, a token is
    two units (two Han characters, two Thai letters with their vowels) or what is left of them
    between two changes of script, and punctuation is a token of its own. cuts: room for the places
    where a token begins.
    """
    first, tail, cut = 0, last, 0
    while first < tail:
        more = first + 1 < tail
        size = prefix_length(
            points[first],
            kinds[first],
            points[first + 1] if more else 0,
            kinds[first + 1] if more else 0,
        )
        if not size:
            break
        if size == RUN:
            size = 2
            while first + size < tail and points[first + size] == 46:
                size += 1
        cuts[cut] = first
        cut += 1
        first += size
    end = len(cuts)
    while tail > first:
        more = tail - 1 > first
        size = suffix_length(
            points[tail - 1],
            kinds[tail - 1],
            points[tail - 2] if more else 0,
            kinds[tail - 2] if more else 0,
            kinds[tail - 3] if tail - 2 > first else 0,
        )
        if not size:
            break
        if size == RUN:
            size = 2
            while tail - size > first and points[tail - size - 1] == 46:
                size += 1
        tail -= size
        end -= 1
        cuts[end] = tail
    if tail > first:
        cuts[cut] = first
        cut += 1
        at = first
        while at < tail and kinds[at] & WORD:
            at += 1
        if at < tail and not is_address(points, kinds, first, tail):
            body = contraction(points, kinds, first, tail)
            while at < body:
                size = 0
                if not kinds[at] & WORD:
                    more = at + 1 < tail
                    size = infix_length(
                        points[at],
                        kinds[at],
                        kinds[at - 1] if at > first else 0,
                        points[at + 1] if more else 0,
                        kinds[at + 1] if more else 0,
                    )
                    if size == RUN:
                        size = 2
                        while at + size < tail and points[at + size] == points[at]:
                            size += 1
                        if kinds[at] & HYPHEN and not (
                            size <= 3 and at + size < tail and kinds[at + size] & LETTER
                        ):
                            size = 0
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
        begin, end = cuts[piece], cuts[piece + 1]
        units, before = 0, 0
        value, common, present = SEED, -1, 0
        for at in range(begin, end):
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
        if end > begin:
            values[found], lengths[found] = value, end - begin
            every[found], some[found] = common, present
            found += 1
    return found
