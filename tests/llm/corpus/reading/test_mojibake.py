"""Wrongly decoded text is repaired exactly where ftfy would, and nothing else is touched."""

import json
from pathlib import Path

import ftfy
import pytest

from llm.corpus.reading.html import tidy
from llm.corpus.reading.mojibake import repair


@pytest.mark.parametrize(
    ("broken", "meant"),
    [
        ("itâ€™s", "it’s"),
        ("cafÃ©", "café"),
        ("РїСЂРёРІРµС‚", "привет"),
        ("HÃ´tel\nplain line", "Hôtel\nplain line"),
    ],
)
def test_broken_lines_are_repaired(broken: str, meant: str) -> None:
    assert repair(broken) == meant
    assert tidy(broken) == meant


@pytest.mark.parametrize(
    "text", ["plain", "L’été à Paris — « déjà »", "Привет, Её «да»", "日本語。", "ПоздравЂаво"]
)
def test_good_text_stays(text: str) -> None:
    assert repair(text) == text


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["in-the-wild", "negative", "synthetic", "language-names"])
def test_the_quick_look_misses_nothing_that_ftfy_repairs(shared_data: Path, name: str) -> None:
    cases = json.loads((shared_data / f"clean/ftfy/{name}.json").read_text())
    for case in cases:
        assert repair(case["original"]) == ftfy.fix_encoding(case["original"])
        if case["expect"] == "pass":
            assert repair(case["original"]) == case.get("fixed-encoding", case["fixed"])
