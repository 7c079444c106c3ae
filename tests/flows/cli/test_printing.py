"""What others wrote never steers the terminal that it is shown in."""

import unicodedata

from flows.cli.printing import harmless, harmless_value


def test_no_control_character_comes_through_and_all_other_text_does() -> None:
    every = "".join(map(chr, range(0x110000)))
    shown = harmless(every)
    assert {one for one in shown if unicodedata.category(one) == "Cc"} == {"\n", "\t"}
    assert not {one for one in shown if unicodedata.bidirectional(one) in _TURNING}
    kept = [one for one in every if unicodedata.category(one) not in ("Cc", "Cs")]
    turning = [one for one in kept if unicodedata.bidirectional(one) in _TURNING]
    plain = "".join(one for one in kept if one not in turning)
    assert harmless(plain) == plain


_TURNING = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def test_lines_stay_and_signs_are_shown() -> None:
    assert harmless("a\r\nb\tc\x1b[31md\r\x7f\x9b") == "a\nb\tc␛[31md␍␡\ufffd"
    assert harmless_value({"a\x1b": ["b\x07", 1, None]}) == {"a␛": ["b␇", 1, None]}
