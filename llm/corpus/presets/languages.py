"""Other thresholds for some languages, whichever preset has the rule."""

# What differs for languages with short words or no full stop. It overrides a preset's thresholds
# where those were left as they are; what the user gives for a language overrides it.
_SHORT: dict[str, float | None] = {"min_mean_word_length": 1, "max_short_lines": None}
_SYLLABIC: dict[str, float | None] = {
    "min_mean_word_length": 2,
    "min_terminal_lines": None,
    "min_c4_sentences": None,
}
BUILT_IN: dict[str, dict[str, float | None]] = {
    "zh": _SHORT,
    "ja": _SHORT,
    "ko": {"min_mean_word_length": 2},
    "th": _SYLLABIC,
    "lo": _SYLLABIC,
    "km": {"min_mean_word_length": 2},
    "my": {"min_mean_word_length": 2},
    "bo": {"min_mean_word_length": 2},
}
