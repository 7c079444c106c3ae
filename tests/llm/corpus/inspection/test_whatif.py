"""What other thresholds would do is what they do: held against the step that decides."""

import dataclasses
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm.corpus.decide import DecideAll, decide
from llm.corpus.filters import FilterSettings
from llm.corpus.inspection.whatif import by_rule, whatif
from llm.corpus.presets.gopher_quality import GopherQuality
from llm.step import Context
from tests.llm.corpus.cleaning import Cleaned, clean

WORDS = [
    "the",
    "river",
    "and",
    "a",
    "house",
    "that",
    "we",
    "have",
    "seen",
    "with",
    "many",
    "trees",
    "of",
    "the",
    "old",
    "town",
    "to",
    "be",
]
BEFORE = FilterSettings(
    presets=("gopher_quality",), gopher_quality=GopherQuality(min_words=50, min_stop_words=2)
)


def text(seed: int, words: int, stop_words: bool = True) -> str:
    draw = random.Random(seed)
    chosen = WORDS if stop_words else ["river", "house", "trees", "town", "seen", "many", "old"]
    return " ".join(f"{draw.choice(chosen)} x{draw.randrange(10**6)}" for _ in range(words // 2))


def corpus() -> dict[str, list[tuple[str, str]]]:
    long = text(0, 300)
    return {
        "a": [(f"http://s/{n}", text(n, 20 + 10 * n)) for n in range(1, 12)]
        + [("http://s/copy-1", long), ("http://s/near", long + " and a little more")],
        "b": [(f"http://t/{n}", text(100 + n, 40 + 20 * n, n % 2 == 0)) for n in range(8)]
        + [("http://t/copy-2", long), ("http://t/short", "the and of")],
    }


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    return clean(tmp_path_factory.mktemp("corpus"), corpus(), BEFORE)


def inputs_of(cleaned: Cleaned) -> dict[str, list[Path]]:
    return {
        "documents": cleaned.paths("extract"),
        "signals": cleaned.paths("signals"),
        "duplicates": [cleaned.root / "duplicates"],
    }


def decided(cleaned: Cleaned, filters: FilterSettings, folder: Path) -> dict[str, dict[str, Any]]:
    """What the real step makes of it, by address."""
    out, work = folder / "decide", folder / "work"
    out.mkdir(parents=True)
    work.mkdir()
    values = DecideAll(shards=tuple(cleaned.shards), filters=filters)
    decide(values, inputs_of(cleaned), Context(out=out, work=work))
    return Cleaned(folder, cleaned.shards).decisions()


def tell(cleaned: Cleaned, after: FilterSettings) -> dict[str, Any]:
    values = DecideAll(shards=tuple(cleaned.shards), filters=BEFORE)
    changed = dataclasses.replace(values, filters=after)
    return whatif([(values, changed, inputs_of(cleaned))])


@pytest.mark.parametrize(
    "changes",
    [{}, {"min_words": 120}, {"min_words": None, "min_stop_words": None}, {"max_words": 200}],
)
def test_what_is_told_is_what_deciding_does(
    cleaned: Cleaned, changes: dict[str, Any], tmp_path: Path
) -> None:
    after = FilterSettings(
        presets=("gopher_quality",),
        gopher_quality=dataclasses.replace(BEFORE.gopher_quality, **changes),
    )
    told = tell(cleaned, after)
    was, will = cleaned.decisions(), decided(cleaned, after, tmp_path)
    for side, rows in (("before", was), ("after", will)):
        reasons = Counter(row["reason"] for row in rows.values())
        sizes: Counter[str] = Counter()
        for row in rows.values():
            sizes[row["reason"]] += row["bytes"]
        assert told[side]["documents"] == len(rows)
        assert told[side]["kept"] == {"documents": reasons["kept"], "bytes": sizes["kept"]}
        first = {row["rule"]: row["first"] for row in told[side]["rules"]}
        for reason in reasons.keys() - {"kept"}:
            assert first[reason] == {"documents": reasons[reason], "bytes": sizes[reason]}
        assert sum(size["documents"] for size in first.values()) == len(rows) - reasons["kept"]
    kept = [{url for url, row in rows.items() if row["reason"] == "kept"} for rows in (was, will)]
    assert told["moved"]["in"]["documents"] == len(kept[1] - kept[0])
    assert told["moved"]["out"]["documents"] == len(kept[0] - kept[1])


def test_only_counts_what_would_be_kept_without_the_rule(cleaned: Cleaned, tmp_path: Path) -> None:
    told = by_rule(tell(cleaned, BEFORE)["before"])
    kept = {url for url, row in cleaned.decisions().items() if row["reason"] == "kept"}
    for field in ("min_words", "min_stop_words", "max_words"):
        without = dataclasses.replace(BEFORE.gopher_quality, **{field: None})
        rules = FilterSettings(presets=("gopher_quality",), gopher_quality=without)
        rows = decided(cleaned, rules, tmp_path / field)
        more = {url for url, row in rows.items() if row["reason"] == "kept"} - kept
        row = told[f"gopher_quality.{field}"]
        assert row["only"]["documents"] == len(more)
        assert row["alone"]["documents"] >= row["first"]["documents"]
    assert told["gopher_quality.min_words"]["only"]["documents"] > 0
    assert told["near_duplicate"]["only"] == told["near_duplicate"]["first"]


def test_nights_add_up(cleaned: Cleaned) -> None:
    values = DecideAll(shards=tuple(cleaned.shards), filters=BEFORE)
    night = (values, values, inputs_of(cleaned))
    one, two = whatif([night]), whatif([night, night])
    assert two["before"]["kept"] == {k: 2 * v for k, v in one["before"]["kept"].items()}
    assert by_rule(two["after"]).keys() == by_rule(one["after"]).keys()


def test_what_no_shard_has_is_not_counted_as_kept(cleaned: Cleaned) -> None:
    values = DecideAll(shards=tuple(cleaned.shards), filters=BEFORE)
    all_gone = dataclasses.replace(values, filters=FilterSettings(presets=()))
    kept = [one for one, row in cleaned.decisions().items() if row["reason"] == "kept"]
    ids = [cleaned.decisions()[one]["doc_id"] for one in kept[:2]]
    gone = np.array([bytes(one) for one in ids], "S16")
    bare = whatif([(values, all_gone, inputs_of(cleaned))])
    told = whatif([(values, all_gone, inputs_of(cleaned))], gone)
    for side in ("before", "after"):
        assert told[side]["kept"]["documents"] == bare[side]["kept"]["documents"] - 2
        assert by_rule(told[side])["not_written"]["first"]["documents"] == 2
        assert by_rule(bare[side]).keys() == by_rule(told[side]).keys() - {"not_written"}
    assert told["moved"] == bare["moved"]
