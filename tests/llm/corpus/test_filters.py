"""Filters: the published thresholds, each rule alone, and thresholds of one's own."""

import dataclasses
import random

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from llm.corpus.filters import (
    FilterSettings,
    GopherQuality,
    GopherRepetition,
    failures,
    rules,
)
from llm.corpus.signals import SIGNALS, signals

# Rae et al. 2021, A.1.1 and table A1.
PUBLISHED = {
    "gopher_quality": {
        "min_words": 50,
        "max_words": 100_000,
        "min_mean_word_length": 3,
        "max_mean_word_length": 10,
        "max_hash_per_word": 0.1,
        "max_ellipsis_per_word": 0.1,
        "max_bullet_lines": 0.9,
        "max_ellipsis_lines": 0.3,
        "min_letter_words": 0.8,
        "min_stop_words": 2,
    },
    "gopher_repetition": {
        "max_duplicate_lines": 0.30,
        "max_duplicate_paragraphs": 0.30,
        "max_duplicate_line_characters": 0.20,
        "max_duplicate_paragraph_characters": 0.20,
        "max_top_2_gram": 0.20,
        "max_top_3_gram": 0.18,
        "max_top_4_gram": 0.16,
        "max_duplicate_5_grams": 0.15,
        "max_duplicate_6_grams": 0.14,
        "max_duplicate_7_grams": 0.13,
        "max_duplicate_8_grams": 0.12,
        "max_duplicate_9_grams": 0.11,
        "max_duplicate_10_grams": 0.10,
    },
}
rng = random.Random(0)
PROSE = " ".join(
    f"the {rng.randrange(10**6)}word {rng.randrange(10**6)}s have {rng.randrange(10**6)}k of"
    for _ in range(30)
)


def failed(text: str, settings: FilterSettings | None = None) -> set[str]:
    values = signals([text])
    names, matrix = failures(
        settings or FilterSettings(), values, np.array(["en"]), np.array([0.9])
    )
    return {name for name, fails in zip(names, matrix[0], strict=True) if fails}


def test_the_presets_are_the_published_ones() -> None:
    for preset in (GopherQuality(), GopherRepetition()):
        name = {"GopherQuality": "gopher_quality", "GopherRepetition": "gopher_repetition"}
        assert dataclasses.asdict(preset) == PUBLISHED[name[type(preset).__name__]]


def test_every_rule_looks_at_a_signal_that_exists() -> None:
    assert {rule.signal for rule in rules(FilterSettings())} <= set(SIGNALS)
    assert len(rules(FilterSettings())) == 23


def test_plain_prose_passes() -> None:
    assert failed(PROSE) == set()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("the word of", "gopher_quality.min_words"),
        ("the cat of a dog sat " * 20_000, "gopher_quality.max_words"),
        ("a b c the of " * 20, "gopher_quality.min_mean_word_length"),
        (PROSE + " antidisestablishmentarianism" * 120, "gopher_quality.max_mean_word_length"),
        (PROSE + " #" * 40, "gopher_quality.max_hash_per_word"),
        (PROSE + " a..." * 40, "gopher_quality.max_ellipsis_per_word"),
        ("\n".join(f"- the {n}word of" for n in range(40)), "gopher_quality.max_bullet_lines"),
        ("\n".join(f"the {n}word of…" for n in range(40)), "gopher_quality.max_ellipsis_lines"),
        (PROSE + " 12345" * 60, "gopher_quality.min_letter_words"),
        (PROSE.replace("the", "da").replace("of", "von"), "gopher_quality.min_stop_words"),
        (PROSE + "\nx" * 5, "gopher_repetition.max_duplicate_lines"),
        (PROSE + "\n\nx" * 5, "gopher_repetition.max_duplicate_paragraphs"),
        (f"{PROSE}\n{PROSE}", "gopher_repetition.max_duplicate_line_characters"),
        (f"{PROSE}\n\n{PROSE}", "gopher_repetition.max_duplicate_paragraph_characters"),
        (PROSE + " quick brown" * 80, "gopher_repetition.max_top_2_gram"),
        (f"{PROSE} {PROSE}", "gopher_repetition.max_duplicate_10_grams"),
    ],
)
def test_each_rule_fails_what_it_is_for(text: str, rule: str) -> None:
    assert rule in failed(text)
    preset, _, name = rule.partition(".")
    preset_class = {"gopher_quality": GopherQuality, "gopher_repetition": GopherRepetition}[preset]
    off = FilterSettings(**{preset: preset_class(**{name: None})})
    assert failed(text, off) == failed(text) - {rule}


def test_a_value_at_the_threshold_passes() -> None:
    values = {name: np.array([0.3, 0.3000001]) for name in SIGNALS}
    settings = FilterSettings(presets=("gopher_repetition",))
    names, matrix = failures(settings, values, np.array(["en"] * 2), np.ones(2))
    column = names.index("gopher_repetition.max_duplicate_lines")
    assert matrix[:, column].tolist() == [False, True]


def test_languages_are_kept_by_code_and_score() -> None:
    settings = FilterSettings(presets=(), languages=("en", "de"), min_language_score=0.5)
    codes, scores = np.array(["en", "en", "de", "fr"]), np.array([0.9, 0.4, 0.5, 1.0])
    names, matrix = failures(settings, {}, codes, scores)
    assert names == ["language"]
    assert matrix[:, 0].tolist() == [False, True, False, True]


def test_no_presets_keep_everything() -> None:
    names, matrix = failures(FilterSettings(presets=()), {}, np.array(["en"] * 3), np.ones(3))
    assert names == []
    assert matrix.shape == (3, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"presets": ["gofer"]}, "gopher_quality"),
        ({"gopher_quality": {"min_wrods": 3}}, "min_wrods"),
        ({"gopher_quality": {"min_words": -1}}, "greater than or equal to 0"),
        ({"gopher_quality": {"min_words": 500, "max_words": 100}}, "no document can pass"),
        ({"presets": ["gopher_quality", "gopher_quality"]}, "named twice"),
        ({"min_language_score": 3}, "less than or equal to 1"),
    ],
)
def test_impossible_settings_are_refused_saying_why(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(FilterSettings).validate_python(values)


def test_thresholds_come_from_a_recipe() -> None:
    values = {"gopher_quality": {"min_words": 5, "max_bullet_lines": None}}
    settings = TypeAdapter(FilterSettings).validate_python(values)
    assert settings.gopher_quality == GopherQuality(min_words=5, max_bullet_lines=None)
