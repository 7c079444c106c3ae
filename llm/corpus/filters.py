"""Rules that keep or drop a document by its signals. No text is read here.

A rule is a field of a preset named `min_` or `max_` and a signal: the field's value is the bound,
and none switches the rule off. Thresholds are those of the Gopher paper (Rae et al. 2021, A.1.1).
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from llm.settings import section, setting

Preset = Literal["gopher_quality", "gopher_repetition"]


@section
class GopherQuality:
    """What prose looks like: rules of Gopher's quality filter. They know English stop words only."""

    min_words: float | None = setting(default=50, description="Fewest words (count).", ge=0)
    max_words: float | None = setting(default=100_000, description="Most words (count).", gt=0)
    min_mean_word_length: float | None = setting(
        default=3, description="Shortest mean word (characters).", ge=0
    )
    max_mean_word_length: float | None = setting(
        default=10, description="Longest mean word (characters).", gt=0
    )
    max_hash_per_word: float | None = setting(
        default=0.1, description="Most # signs for each word (ratio).", ge=0
    )
    max_ellipsis_per_word: float | None = setting(
        default=0.1, description="Most ellipses a word (ratio).", ge=0
    )
    max_bullet_lines: float | None = setting(
        default=0.9, description="Most lines that begin with a bullet (fraction).", ge=0, le=1
    )
    max_ellipsis_lines: float | None = setting(
        default=0.3, description="Most lines that end in an ellipsis (fraction).", ge=0, le=1
    )
    min_letter_words: float | None = setting(
        default=0.8, description="Fewest words with a letter (fraction).", ge=0, le=1
    )
    min_stop_words: float | None = setting(
        default=2,
        description="Fewest different words of: the be to of and that have with (count).",
        ge=0,
        le=8,
    )


@section
class GopherRepetition:
    """How much a text repeats itself: rules of Gopher's repetition filter, all fractions."""

    max_duplicate_lines: float | None = setting(
        default=0.3, description="Most repeated lines (fraction).", ge=0, le=1
    )
    max_duplicate_line_characters: float | None = setting(
        default=0.2, description="Most characters in repeated lines (fraction).", ge=0, le=1
    )
    max_duplicate_paragraphs: float | None = setting(
        default=0.3, description="Most repeated paragraphs (fraction).", ge=0, le=1
    )
    max_duplicate_paragraph_characters: float | None = setting(
        default=0.2, description="Most characters in repeated paragraphs (fraction).", ge=0, le=1
    )
    max_top_2_gram: float | None = setting(
        default=0.20, description="Most characters in the commonest 2 words.", ge=0
    )
    max_top_3_gram: float | None = setting(
        default=0.18, description="Most characters in the commonest 3 words.", ge=0
    )
    max_top_4_gram: float | None = setting(
        default=0.16, description="Most characters in the commonest 4 words.", ge=0
    )
    max_duplicate_5_grams: float | None = setting(
        default=0.15, description="Most characters in repeated 5-grams.", ge=0
    )
    max_duplicate_6_grams: float | None = setting(
        default=0.14, description="Most characters in repeated 6-grams.", ge=0
    )
    max_duplicate_7_grams: float | None = setting(
        default=0.13, description="Most characters in repeated 7-grams.", ge=0
    )
    max_duplicate_8_grams: float | None = setting(
        default=0.12, description="Most characters in repeated 8-grams.", ge=0
    )
    max_duplicate_9_grams: float | None = setting(
        default=0.11, description="Most characters in repeated 9-grams.", ge=0
    )
    max_duplicate_10_grams: float | None = setting(
        default=0.10, description="Most characters in repeated 10-grams.", ge=0
    )


@section
class FilterSettings:
    """Which documents are kept."""

    presets: tuple[Preset, ...] = setting(
        default=("gopher_quality", "gopher_repetition"),
        description="Rule sets in use, in the order they are asked.",
    )
    gopher_quality: GopherQuality = setting(
        default=GopherQuality, description="Thresholds of that preset."
    )
    gopher_repetition: GopherRepetition = setting(
        default=GopherRepetition, description="Thresholds of that preset."
    )
    languages: tuple[str, ...] = setting(
        default=(), description="Languages to keep (ISO 639 codes such as en); empty: all of them."
    )
    min_language_score: float = setting(
        default=0.65,
        description="Surest-language score needed where languages are named (0 to 1).",
        ge=0,
        le=1,
    )

    def __post_init__(self) -> None:
        if len(set(self.presets)) < len(self.presets):
            raise ValueError(f"a preset is named twice in {list(self.presets)}: name it once")
        for name in ("words", "mean_word_length"):
            low = getattr(self.gopher_quality, f"min_{name}")
            high = getattr(self.gopher_quality, f"max_{name}")
            if low is not None and high is not None and low > high:
                raise ValueError(
                    f"gopher_quality.min_{name} is {low}, above max_{name} {high}: no document "
                    "can pass; lower the first or raise the second"
                )


@dataclasses.dataclass(frozen=True)
class Rule:
    """One bound: a document fails when its signal is below `low` or above `high`."""

    name: str
    signal: str
    low: float = -np.inf
    high: float = np.inf


def rules(settings: FilterSettings) -> list[Rule]:
    """The rules that are switched on, in the order they are asked."""
    found = []
    for preset in settings.presets:
        thresholds = getattr(settings, preset)
        for field in dataclasses.fields(thresholds):
            bound = getattr(thresholds, field.name)
            side, _, signal = field.name.partition("_")
            if bound is not None:
                end = {"min": "low", "max": "high"}[side]
                found.append(Rule(f"{preset}.{field.name}", signal, **{end: float(bound)}))
    return found


def failures(
    settings: FilterSettings,
    signals: Mapping[str, np.ndarray],
    languages: np.ndarray,
    scores: np.ndarray,
) -> tuple[list[str], np.ndarray]:
    """Which document fails which rule: (names of R rules, (D, R) bool).

    signals: arrays (D,) by name; languages: codes (D,); scores: their scores (D,).
    """
    names, columns = [], []
    if settings.languages:
        wanted = np.isin(languages.astype(str), settings.languages)
        names.append("language")
        columns.append(~wanted | (scores < settings.min_language_score))
    for rule in rules(settings):
        values = signals[rule.signal]
        names.append(rule.name)
        columns.append((values < rule.low) | (values > rule.high))
    if not columns:
        return [], np.zeros((len(scores), 0), bool)
    return names, np.stack(columns, axis=1)
