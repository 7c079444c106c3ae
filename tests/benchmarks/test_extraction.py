"""The benchmark of extraction reads real pages with known text, and scores them as the usual benchmarks do."""

import gzip
import json
from pathlib import Path

import pytest

from benchmarks.extraction import read_set, score, token_scores


def test_a_folder_of_pages_is_read_in_its_published_layout(tmp_path: Path) -> None:
    truth = {
        "a": {"articleBody": "Über die Brücke", "url": "https://a.example/1"},
        "b": {"articleBody": "across", "url": None},
    }
    (tmp_path / "ground-truth.json").write_text(json.dumps(truth))
    (tmp_path / "html").mkdir()
    packed = gzip.compress("<p>Über die Brücke</p>".encode())
    (tmp_path / "html" / "a.html.gz").write_bytes(packed)
    (tmp_path / "html" / "b.html").write_text("<p>across</p>")
    first, second = read_set(tmp_path)
    assert first == ("<p>Über die Brücke</p>", "https://a.example/1", "Über die Brücke")
    assert second == ("<p>across</p>", "", "across")


def test_both_scores_are_what_their_definitions_give() -> None:
    # found a b c d, of expected a b d e: 3 of 4 words either way
    assert token_scores("a b c d", "a b d e") == pytest.approx((0.75, 0.75, 0.75))
    row = score(["a b c d e", "a b c d"], ["a b c d e f", "w x y z"])
    assert row.f1 == pytest.approx((10 / 11 + 0) / 2)
    # runs of four: 2 of 2 found and 2 of 3 expected, then none; means 1/2 and 1/3
    assert row.shingles == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
