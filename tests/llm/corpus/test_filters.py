"""Filters: the published thresholds, each rule alone, and thresholds of one's own."""

import dataclasses
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from llm.corpus.filters import FilterSettings, failures, rules
from llm.corpus.language import identify
from llm.corpus.presets.c4 import C4
from llm.corpus.presets.fineweb import FineWeb
from llm.corpus.presets.fineweb2 import FineWeb2
from llm.corpus.presets.gopher_quality import GopherQuality
from llm.corpus.presets.gopher_repetition import GopherRepetition
from llm.corpus.presets.registry import Preset
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


def test_a_language_may_need_a_score_of_its_own() -> None:
    codes, scores = np.array(["en", "de", "de", "fr"]), np.array([0.7, 0.7, 0.8, 0.1])
    own = {"presets": (), "min_language_scores": {"de": 0.8}}
    some, every = FilterSettings(languages=("en", "de"), **own), FilterSettings(**own)
    assert failures(some, {}, codes, scores)[1][:, 0].tolist() == [False, True, False, True]
    assert failures(every, {}, codes, scores)[1][:, 0].tolist() == [False, True, False, False]
    at_bound = FilterSettings(presets=(), min_language_scores={"de": 0.7})
    stored = scores.astype(np.float32)  # as Parquet has them
    assert not failures(at_bound, {}, codes, stored)[1].any()


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
        ({"min_language_scores": {"de": 8}}, r"min_language_scores\.de is 8"),
        ({"min_language_scores": {"de": 0.8}, "languages": ["en"]}, "languages leaves out"),
    ],
)
def test_impossible_settings_are_refused_saying_why(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(FilterSettings).validate_python(values)


def test_thresholds_come_from_a_recipe() -> None:
    values = {"gopher_quality": {"min_words": 5, "max_bullet_lines": None}}
    settings = TypeAdapter(FilterSettings).validate_python(values)
    assert settings.gopher_quality == GopherQuality(min_words=5, max_bullet_lines=None)


def test_fineweb_and_c4_are_the_published_ones() -> None:
    assert dataclasses.asdict(FineWeb()) == {
        "min_terminal_lines": 0.12,
        "max_short_lines": 0.67,
        "max_duplicate_line_characters": 0.01,
        "max_newlines_per_word": 0.3,
    }
    assert C4().min_c4_sentences == 5
    changed = {
        field.name
        for preset in (GopherQuality, GopherRepetition, FineWeb)
        for field in dataclasses.fields(preset)
        if getattr(preset(), field.name) != getattr(FineWeb2(), field.name)
    }
    assert changed == {
        "max_short_lines",
        "max_duplicate_line_characters",
        "max_duplicate_paragraphs",
        "max_duplicate_paragraph_characters",
    }


SENTENCES = (
    "The first one ends here. Is this the second? It really is! A fourth stands there. And a fifth."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SENTENCES, set()),
        (SENTENCES.replace("And a fifth.", ""), {"min_c4_sentences"}),
        (SENTENCES + "\nBraces { are for code.", {"max_c4_curly_brackets"}),
        (SENTENCES + "\nbraces { without an end", set()),
        (SENTENCES + "\nIt says Lorem Ipsum dolor.", {"max_c4_lorem_ipsum"}),
        (SENTENCES.replace("Is this", "Enable JavaScript"), {"min_c4_sentences"}),
        (SENTENCES + "[12]", set()),
        (SENTENCES[:-1] + "...", {"min_c4_sentences"}),
    ],
)
def test_c4_drops_what_its_paper_says(text: str, expected: set[str]) -> None:
    assert failed(text, FilterSettings(presets=("c4",))) == {f"c4.{name}" for name in expected}


def test_c4_without_its_end_rule_counts_the_other_lines_too() -> None:
    text = SENTENCES.replace(". ", "\n").replace("? ", "\n").replace("! ", "\n")
    assert failed(text, FilterSettings(presets=("c4",))) == {"c4.min_c4_sentences"}
    assert not failed(text, FilterSettings(presets=("c4",), c4=C4(terminal_punctuation=False)))


def test_c4_reads_lines_of_any_end_where_the_language_has_no_full_stop() -> None:
    text = SENTENCES[:-1] + " { and so on"
    settings = FilterSettings(presets=("c4",), c4=C4(any_end_languages=("de",)))
    names, matrix = failures(settings, signals([text] * 2), np.array(["en", "de"]), np.ones(2))
    assert matrix[:, names.index("c4.min_c4_sentences")].tolist() == [True, False]
    assert matrix[:, names.index("c4.max_c4_curly_brackets")].tolist() == [False, True]
    rule = rules(settings)[0]
    assert (rule.signal_in("en"), rule.signal_in("de")) == ("c4_sentences", "c4_sentences_any_end")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("\n".join(f"a line of {n} that goes on and on without end" for n in range(9)),
         "min_terminal_lines"),
        ("\n".join(f"Line {n}, and more words." for n in range(9)), "max_short_lines"),
        ("\n".join(["A line that is here two times, and again."] * 2),
         "max_duplicate_line_characters"),
        ("\n".join(f"word{n}." for n in range(9)), "max_newlines_per_word"),
    ],
)  # fmt: skip
def test_fineweb_drops_lists_and_torn_lines(text: str, rule: str) -> None:
    assert f"fineweb.{rule}" in failed(text, FilterSettings(presets=("fineweb",)))


def test_a_language_may_have_thresholds_of_its_own() -> None:
    adapter = TypeAdapter(FilterSettings)
    values = {"per_language": {"de": {"gopher_quality": {"min_words": 10, "max_words": None}}}}
    settings = adapter.validate_python({"presets": ["gopher_quality"], **values})
    found = {"words": np.array([20.0, 20.0, 5.0, 1e6]), "mean_word_length": np.full(4, 5.0)}
    signals_of = {name: found.get(name, np.full(4, np.nan)) for name in SIGNALS}
    names, matrix = failures(settings, signals_of, np.array(["de", "en", "de", "de"]), np.ones(4))
    column = names.index("gopher_quality.min_words")
    assert matrix[:, column].tolist() == [False, True, True, False]
    assert not matrix[:, names.index("gopher_quality.max_words")].any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gofer": {}}, "c4, gopher_quality"),
        ({"c4": {"min_wrods": 1}}, "min_wrods.*min_c4_sentences"),
    ],
)
def test_a_rule_that_is_not_there_is_refused(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(FilterSettings).validate_python({"per_language": {"de": values}})


@pytest.mark.real_data
@pytest.mark.parametrize(
    "presets", [("gopher_quality", "gopher_repetition"), ("fineweb",), ("fineweb2",), ("c4",)]
)
def test_clean_prose_is_kept_in_every_script(
    shared_data: Path, presets: tuple[Preset, ...]
) -> None:
    names = {"zh": "cmn_hans", "ja": "jpn", "th": "tha", "de": "deu", "ar": "arb", "en": "eng"}
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        texts = [archive.read(f"udhr2/{name}.txt").decode().strip() for name in names.values()]
    codes = [identify(text).code for text in texts]
    assert codes == list(names)
    kept = failures(
        FilterSettings(presets=presets),
        signals(texts, codes),
        np.array(codes),
        np.ones(len(codes)),
    )
    failing = {
        code: [name for name, fails in zip(kept[0], row, strict=True) if fails]
        for code, row in zip(codes, kept[1], strict=True)
    }
    assert failing == {code: [] for code in names}


def test_a_code_of_several_languages_keeps_its_members() -> None:
    settings = FilterSettings(presets=(), languages=("no", "sh"))
    codes = np.array(["nb", "nn", "bs", "hr", "sr", "da", "und"])
    _, matrix = failures(settings, {}, codes, np.ones(7))
    assert matrix[:, 0].tolist() == [False] * 5 + [True] * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"languages": ("eng",)}, "languages names the language 'eng', .* write en"),
        ({"languages": ("iw",)}, "write he"),
        ({"languages": ("pt-BR",)}, "write pt"),
        ({"languages": ("English",)}, "write an ISO 639-1 code such as en"),
        ({"min_language_scores": {"no": 0.5}}, "no, which stands for nb and nn: name each"),
        ({"per_language": {"ger": {}}}, "write de"),
        (
            {"c4": C4(any_end_languages=("th", "ger"))},
            "c4.any_end_languages names .*'ger'.*: write de",
        ),
        ({"c4": C4(any_end_languages=("english",))}, "write an ISO 639-1 code such as en"),
    ],
)
def test_a_code_that_no_document_has_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FilterSettings(**values)
