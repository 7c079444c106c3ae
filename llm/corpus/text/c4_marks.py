"""What C4 looks for in a line, compiled: phrases that are not text of a page, and how the line ends."""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np

from llm.compiled import inner
from llm.corpus.text.characters import CLOSER, END
from llm.corpus.text.points import point_at

# What may stand in a line, as bits.
LOREM, SCRIPT, POLICY, CURLY = 1, 2, 4, 8


def _bytes(phrase: str) -> np.ndarray:
    return np.frombuffer(phrase.encode(), np.uint8) | 32  # as `phrase_at` reads: in lower case


_LOREM, _JAVASCRIPT, _EDIT, _NEEDED = map(
    _bytes, ("lorem ipsum", "javascript", "[edit]", "[citation needed]")
)
_PRIVACY, _COOKIE, _TERMS = map(_bytes, ("privacy policy", "cookie policy", "terms of use"))
_USES, _USE_OF, _USE = map(_bytes, ("uses cookies", "use of cookies", "use cookies"))


@inner
def phrase_at(data, at, begin, end, phrase, place):
    """Whether `phrase` (lower-case ASCII) stands in data[begin:end] with its letter `place` at `at`."""
    start = at - place
    if start < begin or start + len(phrase) > end:
        return False
    for offset in range(len(phrase)):  # noqa: SIM110 (numba has no all())
        if data[start + offset] | 32 != phrase[offset]:
            return False
    return True


@inner
def phrases_at(data, at, point, begin, end):
    """Which of C4's phrases stands round the letter at `at`: bits of LOREM, SCRIPT, POLICY."""
    letter = point | 32
    if point == 123:
        return CURLY
    if at < begin + 2:
        return 0
    before = data[at - 1] | 32
    if letter == 118:  # v
        if before == 97 and phrase_at(data, at, begin, end, _JAVASCRIPT, 2):
            return SCRIPT
        return POLICY if before == 105 and phrase_at(data, at, begin, end, _PRIVACY, 3) else 0
    if letter == 107:  # k
        return POLICY if before == 111 and names_cookies(data, at, begin, end) else 0
    if letter == 102:  # f
        if before == 111 and at + 2 < end and data[at + 2] | 32 == 117:
            return POLICY if phrase_at(data, at, begin, end, _TERMS, 7) else 0
        return 0
    if before == 105 and data[at - 2] == 32:  # p
        return LOREM if phrase_at(data, at, begin, end, _LOREM, 7) else 0
    return 0


@inner
def names_cookies(data, at, begin, end):
    """Whether the k at `at` is that of a phrase about cookies."""
    return (
        phrase_at(data, at, begin, end, _COOKIE, 3)
        or phrase_at(data, at, begin, end, _USES, 8)
        or phrase_at(data, at, begin, end, _USE_OF, 10)
        or phrase_at(data, at, begin, end, _USE, 7)
    )


@inner
def closes(data, begin, end, classes):
    """Whether a line ends as C4 wants it: in . ? ! " or ' or another script's end, in no ellipsis.

    Wikipedia's citations behind the full stop ([12], [edit], [citation needed]) do not count.
    """
    while end > begin and data[end - 1] == 93:
        at = end - 2
        while at >= begin and 48 <= data[at] <= 57:
            at -= 1
        if at < begin or data[at] != 91:
            if phrase_at(data, end - 1, begin, end, _EDIT, 5):
                at = end - 6
            elif phrase_at(data, end - 1, begin, end, _NEEDED, 17):
                at = end - 18
            else:
                break
        end = at
    if end <= begin:
        return False
    last = data[end - 1]
    if last == 46:
        return not (end - begin >= 3 and data[end - 2] == 46 and data[end - 3] == 46)
    if last == 63 or last == 33 or last == 34 or last == 39:
        return True
    kind, at = kind_before(data, begin, end, classes)
    if kind & CLOSER and at > begin:
        kind, at = kind_before(data, begin, at, classes)
    return kind & END != 0


@inner
def kind_before(data, begin, end, classes):
    """The class of the character that ends at `end`, and where it begins."""
    at = end - 1
    while at > begin and data[at] & 0xC0 == 0x80:
        at -= 1
    return np.int64(classes[point_at(data, at)[0]]), at
