"""The lines that C4 keeps of a text (Raffel et al. 2020): whole sentences, no menus or notices."""

import re

from llm.corpus.presets import C4

LIBRARIES = ("python",)

# Fewest words of a line and most characters of a word.
LINE_WORDS, WORD_CHARACTERS = 3, 1000

_CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]", re.IGNORECASE)
_ENDS = (".", "?", "!", '"', "'")
_NOTICES = (
    *("javascript", "terms of use", "privacy policy", "cookie policy"),
    *("uses cookies", "use of cookies", "use cookies"),
)


def c4_lines(text: str, settings: C4) -> str:
    """What is left of a text: lines of at least three words that end a sentence and name no policy.

    Citations such as [12] are cut from them. Where lines may end in anything
    (`terminal_punctuation` off), that rule is left out, as FineWeb does.
    """
    kept = []
    lowered = text.lower()
    notices = [notice for notice in _NOTICES if notice in lowered]  # most texts have none
    for raw in text.split("\n"):
        line = raw.strip()
        if len(raw) > WORD_CHARACTERS and max(map(len, raw.split()), default=0) > WORD_CHARACTERS:
            continue
        if len(raw.split(None, LINE_WORDS)) < LINE_WORDS:
            continue
        if "[" in line:
            line = _CITATION.sub("", line)
        if settings.terminal_punctuation and (not line.endswith(_ENDS) or line.endswith("...")):
            continue
        if notices and any(notice in line.lower() for notice in notices):
            continue
        kept.append(line)
    return "\n".join(kept).strip()
