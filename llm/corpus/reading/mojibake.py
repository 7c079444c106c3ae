"""Text that was decoded with the wrong encoding ("itâ€™s") and its repair, by ftfy (Speer 2019).

ftfy reads a few hundred documents a second: it is shown only the lines in which some character
that could be the first byte of a UTF-8 sequence stands before one that could be its second.
"""

import re

import ftfy

LIBRARIES = ("ftfy",)

_ENCODINGS = ("latin-1", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "mac_roman")
# Letters of those encodings that stand before such others in ordinary text, hardly ever in broken one.
_ORDINARY = frozenset("–—“”‘’…«»ДЕЖЗИЙКЛМНОПТУФХЦЧШЩЪЫЬЭЮЯ")


def repair(text: str) -> str:
    """The text with wrongly decoded lines as they were meant; everything else as it stands."""
    if text.isascii() or not _SUSPECT.search(text):
        return text
    return "\n".join(
        ftfy.fix_encoding(line) if _SUSPECT.search(line) else line for line in text.split("\n")
    )


def _suspect() -> str:
    """Where a wrongly decoded character may be: a lead byte's letter before those that follow it."""

    def letters(first: int, last: int, but: frozenset[str] = frozenset()) -> str:
        codes = [bytes([byte]) for byte in range(first, last + 1)]
        found = {code.decode(each, "ignore") for each in _ENCODINGS for code in codes} - but
        return "".join(re.escape(letter) for letter in sorted(found))

    # Box drawing is what the code pages of DOS make of UTF-8; U+FFFD stands for a byte that was lost.
    second = f"[{letters(0x80, 0xBF)}\u2500-\u25ff\ufffd]"
    two, more = f"[{letters(0xC2, 0xDF, _ORDINARY)}\u2500-\u25ff]", f"[{letters(0xE0, 0xF4)}]"
    # Alone, control characters are quotes and dashes of Windows, "Ã " is an "à" after tidying up.
    return f"{two}{second}|{more}{second}{second}|[\x80-\x9f]|Ã[ \n]"


_SUSPECT = re.compile(_suspect())
