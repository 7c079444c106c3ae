"""A sample tells what decided; two versions side by side tell what changed."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llm.corpus.decide import DecideAll
from llm.corpus.documents import DOCUMENTS, read_table, write_table
from llm.corpus.filters import FilterSettings
from llm.corpus.inspection.browse import NOT_WRITTEN, Night, sample
from llm.corpus.inspection.compare import compare
from llm.corpus.presets.gopher_quality import GopherQuality
from llm.step import BadInput
from tests.llm.corpus.cleaning import Cleaned, clean
from tests.llm.corpus.inspection.test_whatif import text

RULES = FilterSettings(
    presets=("gopher_quality",),
    gopher_quality=GopherQuality(min_words=50, min_stop_words=None, max_mean_word_length=None),
)
LONG = text(0, 300)
TEXTS = {
    "a": [(f"http://s/{n}", text(n, 80)) for n in range(1, 8)]
    + [("http://s/long", LONG + " end"), ("http://s/mail", text(50, 80) + "\nask me@example.org")],
    "b": [(f"http://t/{n}", text(100 + n, 10)) for n in range(5)] + [("http://t/copy", LONG)],
}


def night(done: Cleaned) -> Night:
    return Night(
        snapshot="n1",
        values=DecideAll(shards=tuple(done.shards), filters=RULES),
        inputs={
            "documents": done.paths("extract"),
            "signals": done.paths("signals"),
            "duplicates": [done.root / "duplicates"],
        },
        decisions={shard: done.root / f"decide/decisions/{shard}.parquet" for shard in done.shards},
        written=dict(zip(done.shards, done.paths("write"), strict=True)),
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return night(clean(tmp_path_factory.mktemp("before"), TEXTS, RULES))


def test_a_sample_has_examples_of_every_reason_and_what_decided(before: Night) -> None:
    found = sample([before], count=2)
    assert Counter(one["reason"] for one in found) == {
        "kept": 2,
        "gopher_quality.min_words": 2,
        "near_duplicate": 1,
    }
    assert found[0]["reason"] == "kept"
    short = next(one for one in found if one["reason"] == "gopher_quality.min_words")
    assert short["text"] == dict(TEXTS["b"])[short["url"]]
    (evidence,) = short["evidence"]
    assert evidence == {"rule": short["reason"], "signal": "words", "value": 10.0, "low": 50.0}
    copy = next(one for one in found if one["reason"] == "near_duplicate")
    assert copy["duplicate_of"]["url"] == "http://s/long"
    assert copy["duplicate_of"]["similarity"] > 0.9


def test_a_seed_draws_the_same_and_another_seed_others(before: Night) -> None:
    def urls(seed: int) -> list[str]:
        return [one["url"] for one in sample([before], kept=True, count=3, seed=seed)]

    assert urls(1) == urls(1)
    assert len({tuple(urls(seed)) for seed in range(5)}) > 1


def test_a_sample_can_be_of_one_reason_a_preset_or_a_source(before: Night) -> None:
    assert len(sample([before], reason="gopher_quality", count=99)) == 5
    assert len(sample([before], reason="near_duplicate", count=99)) == 1
    dropped = sample([before], kept=False, count=99)
    assert len(dropped) == 6 and "kept" not in {one["reason"] for one in dropped}
    assert len(sample([before], source="s", count=99)) == 15
    with pytest.raises(BadInput, match=r"reasons are kept \(9\).*sources are s"):
        sample([before], reason="gopher_quality.max_words")


def test_masked_words_are_counted_in_what_was_written(before: Night) -> None:
    (one,) = [one for one in sample([before], kept=True, count=99) if one["masked"]]
    assert one["url"] == "http://s/mail" and one["masked"] == {"email": 1}
    assert "<email>" in one["text"] and "me@example.org" not in one["text"]


def test_two_versions_differ_in_what_came_went_and_changed(before: Night, tmp_path: Path) -> None:
    changed = {
        "a": [
            *TEXTS["a"][:2],  # 3 to 7 and the long one are gone
            ("http://s/mail", TEXTS["a"][-1][1] + "\nmore of it"),
            ("http://s/new", text(200, 90)),
        ],
        "b": [("http://t/0", text(300, 90)), *TEXTS["b"][1:]],
    }
    told = compare([before], [night(clean(tmp_path, changed, RULES))], count=99)
    moves = {(row["from"], row["to"], row["text_changed"]): row for row in told["moves"]}
    assert {move: row["documents"] for move, row in moves.items()} == {
        ("kept", "absent", False): 6,
        ("absent", "kept", False): 1,
        ("kept", "kept", True): 1,
        ("gopher_quality.min_words", "kept", True): 1,
        ("near_duplicate", "kept", False): 1,
    }
    assert told["same"] == 2 + 4
    by_url = {one["url"]: one for one in told["samples"]}
    assert "+more of it" in by_url["http://s/mail"]["diff"]
    assert by_url["http://s/new"]["before"] is None
    assert by_url["http://s/3"]["after"] is None and by_url["http://s/3"]["before"]


def test_a_text_that_is_only_masked_otherwise_has_changed(before: Night, tmp_path: Path) -> None:
    unmasked = night(clean(tmp_path, TEXTS, RULES, pii=()))
    told = compare([before], [unmasked], count=9)
    (move,) = told["moves"]
    assert (move["from"], move["to"], move["text_changed"]) == ("kept", "kept", True)
    assert "+ask me@example.org" in told["samples"][0]["diff"]


def test_what_was_left_out_as_it_was_written_is_told_apart(before: Night, tmp_path: Path) -> None:
    table = read_table(before.written["a"] / "documents.parquet", DOCUMENTS)
    write_table(tmp_path / "documents.parquet", table.slice(1))
    erased: dict[str, Any] = {**before.written, "a": tmp_path}
    after = dataclasses.replace(before, written=erased)
    (move,) = compare([before], [after])["moves"]
    assert (move["from"], move["to"], move["documents"]) == ("kept", NOT_WRITTEN, 1)
