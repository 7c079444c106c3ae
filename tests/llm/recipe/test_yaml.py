"""YAML as its version 1.2 has it: the examples of the core schema, and lines for every value."""

import math
from pathlib import Path

import pytest

from llm.recipe.yaml import BadYAML, Fields, Place, core, plain, read

# YAML 1.2.2, section 10.3.2, table and example 10.9; and words that only YAML 1.1 took for something else.
CORE = [
    ("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None),
    ("true", True), ("True", True), ("TRUE", True), ("false", False),
    ("0", 0), ("0o7", 7), ("0x3A", 58), ("-19", -19), ("+12", 12), ("017", 17), ("0o17", 15),
    ("0.", 0.0), ("-0.0", 0.0), (".5", 0.5), ("+12e03", 12000.0), ("-2E+05", -200000.0), ("1e3", 1000.0),
    (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf),
    ("no", "no"), ("on", "on"), ("yes", "yes"), ("off", "off"), ("y", "y"), ("TrUe", "TrUe"),
    ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    ("12:30:45", "12:30:45"), ("1_000", "1_000"), ("0b11", "0b11"), ("0o8", "0o8"), ("-0x1", "-0x1"),
    ("e3", "e3"), ("1e", "1e"), ("=", "="), ("NaN", "NaN"), ("inf", "inf"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), CORE)
def test_a_plain_word_is_what_the_core_schema_says(text: str, value: object) -> None:
    assert core(text) == value
    assert type(core(text)) is type(value)


def test_not_a_number_is_one() -> None:
    assert math.isnan(core(".nan"))  # type: ignore[arg-type]


def tree(text: str) -> Fields:
    found = read(text, Place("mine.yaml", 1, Path("/recipes")))
    assert isinstance(found, Fields)
    return found


def test_names_are_text_and_quotation_marks_make_text() -> None:
    found = plain(tree("2024: {true: '5', null: \"~\"}\n1e3: !!str 7\nx: !!int '7'\n"))
    assert found == {"2024": {"true": "5", "null": "~"}, "1e3": "7", "x": 7}


def test_anchors_and_merges_are_followed() -> None:
    found = plain(tree("a: &one {x: 1, y: 2}\nb: *one\nc: {<<: *one, y: 3}\n"))
    assert found == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


def test_every_value_knows_its_line() -> None:
    found = tree("name: a\n\npretrain:\n  # why\n  tokens: 5\n")
    assert str(found.keys["pretrain"]) == "mine.yaml, line 3"
    inner = found.items["pretrain"]
    assert isinstance(inner, Fields)
    assert str(inner.keys["tokens"]) == "mine.yaml, line 5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "mine.yaml, line 3: a appears here a second time (first in line 1)"),
        ("a: [1\n", "mine.yaml, line 2: no valid YAML"),
        ("a: b: c\n", "mine.yaml, line 1: no valid YAML"),
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins"),
        ("a: *b\n", "line 1: there is no anchor &b"),
        ("a: &b [*b]\n", "line 1: there is no anchor &b"),
        ("a: !python/name 1\n", "line 1: the tag !python/name is not known"),
        ("? [a]\n: 1\n", "line 1: a name must be one word"),
        ("a: " + "[" * 200 + "]" * 200, "nested too deeply"),
        ("a: 1\n\tb: 2\n", "line 2: no valid YAML"),
    ],
)
def test_what_is_no_recipe_s_yaml_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadYAML) as error:
        tree(text)
    assert said in str(error.value)
