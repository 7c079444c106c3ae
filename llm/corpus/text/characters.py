"""What each character is, as tables over code points that the compiled passes look up."""

import re
import unicodedata
from functools import lru_cache

import numpy as np

LIBRARIES = ("python",)

# Bits of a character's class. WORD: letters, digits, marks and the underscore.
WORD, LETTER, SPACE, UPPER, LOWER = 1, 2, 4, 8, 16
# Scripts written without spaces. KATAKANA words are runs; the others are split into units.
HAN, HIRAGANA, KATAKANA, SYLLABIC = 32, 64, 128, 256
UNSPACED = HAN | HIRAGANA | KATAKANA | SYLLABIC
# In a syllabic script: a vowel written before its consonant, and a letter written after it.
LEADING, FOLLOWING = 512, 1024
# AFFIX: punctuation that is a word of its own beside a word, ICON: also within one.
AFFIX, ICON, QUOTE = 2048, 4096, 8192
# TERMINAL ends a line of prose, STOP a sentence; SYMBOL: what a word must have more than.
TERMINAL, STOP, SYMBOL = 16384, 32768, 65536
APOSTROPHE, DIGIT, MARK, PUNCTUATION = 1 << 17, 1 << 18, 1 << 19, 1 << 20
# PREFIX: split off only before a word, or behind a digit. TRIGGER: letters that occur in each of
# the phrases C4 looks for, and signs that are counted.
PREFIX, TRIGGER, HYPHEN, BULLET = 1 << 21, 1 << 22, 1 << 23, 1 << 24
# END: what C4's lines end in beyond ASCII; CLOSER may follow that, and ends no line by itself.
END, CLOSER = 1 << 25, 1 << 26

# Code points in the tables. No letter, digit or mark lies beyond (Unicode 17), but for tags.
POINTS = 0x33480

_SCRIPTS = (  # bit, first and last point
    (SYLLABIC, 0x0E00, 0x0EFF),  # Thai, Lao
    (SYLLABIC, 0x1000, 0x109F),  # Myanmar
    (SYLLABIC, 0x1780, 0x17FF),  # Khmer
    (HAN, 0x3005, 0x3007),
    (HIRAGANA, 0x3040, 0x309F),
    (KATAKANA, 0x30A0, 0x30FF),
    (HAN, 0x3400, 0x9FFF),
    (HAN, 0xF900, 0xFAFF),
    (KATAKANA, 0xFF66, 0xFF9F),
    (HAN, 0x20000, POINTS - 1),
)
# Between words, as a space is: Ethiopic's, and Tibetan's between syllables.
SEPARATORS = "፡་༌"
_SHAD = "།༎༏༐"  # Tibetan: ends of clauses and sentences, though Unicode has them as other marks
_LEADING = "เแโใไເແໂໃໄ"
_FOLLOWING = "ะาำๅๆຯະາຳໆ"
_AFFIX = "—–…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪։።፣፤፥፦፧፨" + _SHAD
_PREFIX = "§%=$£€¥฿₽₩₪₫₴₹₿"
_QUOTES = "'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧"
# Unicode's Sentence_Terminal, as far as text on the web has it, and its forms for other widths.
_TERMINAL = ".!?؟؝۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉‼‽⁇⁈⁉⸮⸼。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡։"
_STOPS = ".!?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡。"
_SYMBOLS = (
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
)

# Not the marks of Latin script that C4 leaves out, nor its curly quotation marks: only what other
# scripts end a line in.
LINE_ENDS = frozenset(_TERMINAL + _SHAD + "」』｣") - frozenset(".!?‼‽⁇⁈⁉⸮⸼")
LINE_CLOSERS = frozenset(")”’»）】》〉〕］")


@lru_cache(maxsize=1)
def classes() -> np.ndarray:
    """The class of each code point (POINTS,) int32, bits as above."""
    table = np.zeros(POINTS, np.int32)
    bits = {"L": WORD | LETTER, "N": WORD | DIGIT, "M": WORD | MARK, "C": SYMBOL, "P": PUNCTUATION}
    for point in range(POINTS):
        character = chr(point)
        category = unicodedata.category(character)
        bit = bits.get(category[0], 0)
        if category in ("Lu", "Lt"):
            bit |= UPPER
        elif bit & LETTER:
            bit |= LOWER
        elif category == "So":
            bit |= AFFIX | ICON
        elif category in ("Cn", "Cf", "Co", "Cs"):
            bit = 0
        if character.isspace():
            bit |= SPACE
        table[point] = bit
    for script, first, last in _SCRIPTS:
        block = table[first : last + 1]
        block[(block & LETTER) != 0] |= script
    for characters, bit in (
        (_LEADING, LEADING),
        (_FOLLOWING, FOLLOWING),
        (_AFFIX + _QUOTES, AFFIX),
        (_PREFIX, PREFIX),
        (_QUOTES, QUOTE),
        ("-–—~", HYPHEN),
        ("vVkKfFpP{#.…", TRIGGER),
        ("•‣◦▪●-–*", BULLET),
        (_TERMINAL + _SHAD, TERMINAL | SYMBOL),
        (_STOPS + _SHAD, STOP),
        (_SYMBOLS, SYMBOL),
        (LINE_ENDS, END),
        (LINE_CLOSERS, CLOSER),
        ("'’", APOSTROPHE),
        ("_", WORD),
        (SEPARATORS, SPACE),
    ):
        table[[ord(character) for character in characters]] |= bit
    table.flags.writeable = False
    return table


@lru_cache(maxsize=1)
def unspaced() -> re.Pattern[str]:
    """A letter of a script that is written without spaces."""
    inside = np.concatenate([[0], (classes() & UNSPACED != 0).astype(np.int8), [0]])
    firsts, ends = np.flatnonzero(np.diff(inside) == 1), np.flatnonzero(np.diff(inside) == -1)
    ranges = (f"{chr(first)}-{chr(end - 1)}" for first, end in zip(firsts, ends, strict=True))
    return re.compile(f"[{''.join(ranges)}]")


@lru_cache(maxsize=1)
def folded() -> np.ndarray:
    """Each code point in lower case, both apostrophes as one (POINTS,) uint32."""
    table = np.arange(POINTS, dtype=np.uint32)
    for point in np.flatnonzero(classes() & UPPER).tolist():
        table[point] = ord(chr(point).lower()[0])
    table[0x2019] = ord("'")
    table.flags.writeable = False
    return table
