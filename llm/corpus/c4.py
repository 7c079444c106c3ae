"""The lines that C4 keeps of a text (Raffel et al. 2020): whole sentences, no menus or notices."""

import re

from llm.corpus.presets import C4

LIBRARIES = ("python",)

# Fewest words of a line and most characters of a word.
LINE_WORDS, WORD_CHARACTERS = 3, 1000

_CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]", re.IGNORECASE)
_ENDS = (".", "?", "!", '"', "'")
_NOTICE = re.compile(
    "javascript|terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies",
    re.IGNORECASE,
)


def c4_lines(text: str, settings: C4) -> str:
    """What is left of a text: lines of at least three words that end a sentence and name no policy.

    Citations such as [12] are cut from them. Where lines may end in anything
    (`terminal_punctuation` off), that rule is left out, as FineWeb does.
    """
    kept = []
    for raw in text.split("\n"):
        words = raw.split()
        if len(words) < LINE_WORDS or max(map(len, words)) > WORD_CHARACTERS:
            continue
        line = _CITATION.sub("", raw.strip())
        if settings.terminal_punctuation and (not line.endswith(_ENDS) or line.endswith("...")):
            continue
        if not _NOTICE.search(line):
            kept.append(line)
    return "\n".join(kept).strip()
