"""The lines that C4 keeps of a text (Raffel et al. 2020): whole sentences, no menus or notices."""

import re

from llm.corpus.language_codes import members
from llm.corpus.presets.c4 import C4
from llm.corpus.text.characters import LINE_CLOSERS, LINE_ENDS, SEPARATORS, unspaced

LIBRARIES = ("python",)

# Fewest words of a line and most characters of a word.
LINE_WORDS, WORD_CHARACTERS = 3, 1000

_CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]", re.IGNORECASE)
_SEPARATOR = re.compile(f"[{SEPARATORS}]")
_ENDS = LINE_ENDS | {".", "?", "!", '"', "'"}
_NOTICES = (
    *("javascript", "terms of use", "privacy policy", "cookie policy"),
    *("uses cookies", "use of cookies", "use cookies"),
)


def c4_lines(text: str, settings: C4, language: str = "en") -> str:
    """What is left of a text: lines of at least three words that end a sentence and name no policy.

    Citations such as [12] are cut from them. Where lines may end in anything
    (`terminal_punctuation` off, or a language without a full stop), that rule is left out, as
    FineWeb does. In a script without spaces each letter is a word.
    """
    kept = []
    lowered = text.lower()
    notices = [notice for notice in _NOTICES if notice in lowered]  # most texts have none
    ends_count = settings.terminal_punctuation and language not in members(
        settings.any_end_languages
    )
    for raw in text.split("\n"):
        line = raw.strip()
        spaced = line if line.isascii() else _SEPARATOR.sub(" ", line).strip()
        if not _has_words(spaced):
            continue
        if "[" in line:
            line, spaced = (_CITATION.sub("", one) for one in (line, spaced))
        if ends_count and not _ends(spaced):
            continue
        if notices and any(notice in line.lower() for notice in notices):
            continue
        kept.append(line)
    return "\n".join(kept).strip()


def _has_words(line: str) -> bool:
    """Whether a line has LINE_WORDS words, none of more than WORD_CHARACTERS characters."""
    if line.isascii() or not unspaced().search(line):
        if len(line) > WORD_CHARACTERS and max(map(len, line.split()), default=0) > WORD_CHARACTERS:
            return False
        return len(line.split(None, LINE_WORDS)) >= LINE_WORDS
    words = 0
    for chunk in line.split():
        others = unspaced().split(chunk)
        if max(map(len, others)) > WORD_CHARACTERS:
            return False
        words += max(1, len(others) - 1)
    return words >= LINE_WORDS


def _ends(line: str) -> bool:
    """Whether a line ends a sentence; a full stop of another script may have brackets behind it."""
    if line[-1:] in LINE_CLOSERS:
        return line[-2:-1] in LINE_ENDS
    return line[-1:] in _ENDS and not line.endswith("...")
