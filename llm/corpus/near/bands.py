"""How many bands and rows make candidates of texts that are alike."""

import math

# 16 bands of 7 rows: a pair of similarity 0.8 is a candidate with 98 %, of 0.85 with 99.8 %. As much work
# as FineWeb's 14 bands of 8 (92 % at 0.8); the more candidates cost little, as each is compared in truth.
BANDS, ROWS = 16, 7


# Less similar pairs need more bands; past this many, fewer rows cost less than more bands.
_MANY_BANDS, MOST_BANDS = 64, 200


# Of pairs right at the similarity that is asked for, the share that may be no candidates.
_MISSED = 0.01


def chance(similarity: float, bands: int, rows: int) -> float:
    """The probability that two sets of this similarity share a key: 1 - (1 - s^rows)^bands."""
    return 1 - (1 - similarity**rows) ** bands


def banding(
    similarity: float, bands: int | None = None, rows: int | None = None
) -> tuple[int, int]:
    """Bands and rows that make candidates of nearly all pairs of this similarity; what is given stays.

    From 0.8 on, BANDS of ROWS. Below it `chance` is at least 0.99, with as many rows (up to ROWS) as
    _MANY_BANDS allow: each row more spares comparisons with what is not alike. MOST_BANDS of one
    row, the most there are, fall short of that below 0.023.
    """
    if bands is None and rows is None and similarity >= 0.8:
        return BANDS, ROWS
    if rows is None:
        most = bands or _MANY_BANDS
        fitting = (size for size in range(ROWS, 0, -1) if _needed(similarity, size) <= most)
        rows = next(fitting, 1)
    if bands is None:
        bands = min(max(BANDS, _needed(similarity, rows)), MOST_BANDS)
    return bands, rows


def _needed(similarity: float, rows: int) -> int:
    """How many bands of `rows` rows all but _MISSED of such pairs meet in."""
    meets = max(similarity**rows, 1e-9)
    return 1 if meets == 1 else math.ceil(math.log(_MISSED) / math.log1p(-meets))
