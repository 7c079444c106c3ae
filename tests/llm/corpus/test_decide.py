"""Decisions: every document once, the right one of a cluster, and a split that never moves."""

import random
from pathlib import Path

import pytest

from llm.corpus.decide import DecideAll, decide
from llm.corpus.dedup import DedupSettings
from llm.corpus.documents import DROPPED, document_id, hash64, read_table, validation
from llm.corpus.filters import FilterSettings
from llm.corpus.funnel import funnel_rows
from llm.corpus.presets.gopher_quality import GopherQuality
from llm.step import BadInput
from tests.llm.corpus.cleaning import ANYTHING, Cleaned, Texts, clean, extract_all


def prose(seed: int, words: int) -> list[str]:
    rng = random.Random(seed)
    return [f"w{rng.randrange(20_000)}" for _ in range(words)]


def a_corpus() -> dict[str, Texts]:
    rng = random.Random(8)
    texts = []
    for at in range(30):
        words = prose(at, rng.randrange(20, 200))
        for copy in range(rng.randrange(1, 4)):
            changed = words + [f"extra{copy}"] * rng.choice([0, 0, 1, 3])
            texts.append((f"http://a.test/{at}/{copy}", " ".join(changed)))
    texts.append(("http://a.test/empty", " "))
    return {"s-00000": texts[::2], "s-00001": texts[1::2]}


def test_the_funnel_reconciles_and_names_every_reason(tmp_path: Path) -> None:
    filters = FilterSettings(
        presets=("gopher_quality",),
        gopher_quality=GopherQuality(min_words=60, min_stop_words=None),
    )
    done = clean(tmp_path, a_corpus(), filters)
    funnel = done.funnel()
    first, *dropped, last = funnel["rows"]
    assert (first["outcome"], last["outcome"]) == ("in", "kept")
    for unit in ("documents", "bytes"):
        assert first[unit] == last[unit] + sum(row[unit] for row in dropped)
    reasons = {row["reason"]: row["documents"] for row in dropped}
    assert set(reasons) == {
        "no_text",
        "gopher_quality.min_words",
        "exact_duplicate",
        "near_duplicate",
    }
    everything = [one for texts in a_corpus().values() for one in texts]
    assert first["documents"] == len(everything)
    short = [text for _, text in everything if 1 < len(text.split()) < 60]
    assert reasons["gopher_quality.min_words"] == len(short)
    rules = {row["rule"]: row["documents"] for row in funnel["rules"]}
    assert rules["gopher_quality.min_words"] == len(short)
    assert last["documents"] == len(done.documents())
    assert last["bytes"] == sum(len(row["text"].encode()) for row in done.documents().values())
    assert funnel["sources"] == [
        {"source": "s", "documents": last["documents"], "bytes": last["bytes"]}
    ]
    assert done.results["decide"].counts["kept"] == last["documents"]


def test_every_id_is_in_exactly_one_place_or_it_raises(tmp_path: Path) -> None:
    done = clean(tmp_path, a_corpus())
    extracted = done.paths("extract")
    files = [tmp_path / f"decide/decisions/{shard}.parquet" for shard in done.shards]
    assert funnel_rows(extracted, files) == done.funnel()["rows"]
    with pytest.raises(ValueError, match=r"do not reconcile: \d+ were never decided on"):
        funnel_rows(extracted, files[:1])
    with pytest.raises(ValueError, match="decided on never came in"):
        funnel_rows(extracted[:1], files)
    with pytest.raises(ValueError, match="is in two shards"):
        funnel_rows([extracted[0], *extracted], files)


def test_the_longest_of_a_cluster_stays(tmp_path: Path) -> None:
    words = prose(1, 200)
    texts = [
        ("http://a.test/short", " ".join(words)),
        ("http://a.test/long", " ".join([*words, "end"])),
    ]
    texts += [("http://a.test/long?copy", " ".join([*words, "end"]))]
    done = clean(tmp_path, {"s": texts})
    got = {url[14:]: row["reason"] for url, row in done.decisions().items()}
    assert got == {"short": "near_duplicate", "long": "kept", "long?copy": "exact_duplicate"}
    kept = done.decisions()["http://a.test/long"]["doc_id"]
    assert {row["duplicate_of"] for row in done.decisions().values()} == {None, kept}
    assert list(done.documents()) == ["http://a.test/long"]


def test_a_duplicate_of_what_filters_drop_stays(tmp_path: Path) -> None:
    words = prose(2, 100)
    shorter, longer = " ".join(words), " ".join([*words, *prose(3, 8)])
    filters = FilterSettings(
        presets=("gopher_quality",),
        gopher_quality=GopherQuality(min_words=5, max_words=105, min_stop_words=None),
    )
    texts = [
        ("http://a.test/s", shorter),
        ("http://a.test/l", longer),
        ("http://a.test/s2", shorter),
    ]
    reasons = {
        u: row["reason"] for u, row in clean(tmp_path, {"s": texts}, filters).decisions().items()
    }
    assert reasons == {
        "http://a.test/l": "gopher_quality.max_words",
        "http://a.test/s": "kept",
        "http://a.test/s2": "exact_duplicate",
    }


def test_nothing_goes_as_a_duplicate_of_what_it_does_not_resemble(tmp_path: Path) -> None:
    # Both of `left` and `right` repeat `middle`, which filters drop; they are unlike each other.
    words = prose(4, 240)
    middle = [*words, *prose(5, 30)]
    left, right = words[26:] + middle[240:], words[:-26] + middle[240:]
    assert max(len(left), len(right)) < len(middle)
    filters = FilterSettings(
        presets=("gopher_quality",),
        gopher_quality=GopherQuality(max_words=260, min_stop_words=None),
    )
    texts = [
        (f"http://a.test/{name}", " ".join(value))
        for name, value in zip("mlr", (middle, left, right), strict=True)
    ]
    done = clean(tmp_path / "a", {"s": texts}, filters)
    got = {url[-1]: row["reason"] for url, row in done.decisions().items()}
    assert got == {"m": "gopher_quality.max_words", "l": "kept", "r": "kept"}
    unfiltered = clean(tmp_path / "b", {"s": texts})
    got = {url[-1]: row["reason"] for url, row in unfiltered.decisions().items()}
    assert got == {"m": "kept", "l": "near_duplicate", "r": "near_duplicate"}
    # A cluster shares its split even where two of it stay.
    assert len({row["split_key"] for row in done.decisions().values()}) == 1


def held_out(done: Cleaned, fraction: float = 0.3) -> set[str]:
    return {url for url, row in done.documents().items() if validation(row["split_key"], fraction)}


def test_the_split_follows_the_url_and_stays_when_the_corpus_grows(tmp_path: Path) -> None:
    texts = [(f"http://a.test/{at}", " ".join(prose(at, 60))) for at in range(60)]
    before = held_out(clean(tmp_path / "a", {"s": texts[:40]}))
    done = clean(tmp_path / "b", {"s": texts[:25], "t": texts[25:]})
    after = held_out(done)
    assert 5 < len(before) < 25
    assert before == {url for url in after if url in dict(texts[:40])}
    for url, row in done.documents().items():
        assert row["split_key"] == hash64(url)


def test_an_edited_page_stays_on_its_side(tmp_path: Path) -> None:
    texts = [(f"http://a.test/{at}", " ".join(prose(at, 60))) for at in range(40)]
    edited = [(url, text + " and something quite new at the end") for url, text in texts]
    assert held_out(clean(tmp_path / "a", {"s": texts})) == held_out(
        clean(tmp_path / "b", {"s": edited})
    )


def test_a_copy_never_takes_a_page_out_of_validation(tmp_path: Path) -> None:
    texts = [(f"http://a.test/{at}", " ".join(prose(at, 60))) for at in range(40)]
    # The copies are longer, so that they are what is kept.
    copies = [(f"http://mirror.test/{url[14:]}", f"{text} mirrored") for url, text in texts]
    before = held_out(clean(tmp_path / "a", {"s": texts}))
    done = clean(tmp_path / "b", {"s": [*texts, *copies]})
    assert {url[:11] for url in done.documents()} == {"http://mirr"}
    after = {url[19:] for url in held_out(done)}
    assert {url[14:] for url in before} <= after


def test_shards_are_decided_alike_whatever_their_order(tmp_path: Path) -> None:
    corpus = a_corpus()
    one = clean(tmp_path / "a", corpus)
    swapped = {"s-00000": corpus["s-00001"], "s-00001": corpus["s-00000"]}
    assert clean(tmp_path / "b", swapped).decisions() == one.decisions()
    again = clean(tmp_path / "c", corpus)
    assert again.results["decide"].content == one.results["decide"].content
    assert again.results["decide"].parts == one.results["decide"].parts
    assert set(one.results["decide"].parts) == {"s-00000", "s-00001"}


def test_a_changed_threshold_changes_only_the_shards_that_it_touches(tmp_path: Path) -> None:
    corpus = {
        "s-00000": [
            ("http://a.test/1", " ".join(prose(1, 40))),
            ("http://a.test/2", " ".join(prose(2, 90))),
        ],
        "s-00001": [("http://a.test/3", " ".join(prose(3, 90)))],
    }
    parts = [
        clean(
            tmp_path / str(least),
            corpus,
            FilterSettings(
                presets=("gopher_quality",),
                gopher_quality=GopherQuality(min_words=least, min_stop_words=None),
            ),
        )
        .results["decide"]
        .parts
        for least in (30, 60)
    ]
    assert parts[0]["s-00000"] != parts[1]["s-00000"]
    assert parts[0]["s-00001"] == parts[1]["s-00001"]


def test_an_empty_result_names_the_filter_that_dropped_most(tmp_path: Path) -> None:
    texts = [(f"http://a.test/{at}", " ".join(prose(at, 20))) for at in range(7)]
    expected = r"none of 7 documents; gopher_quality\.min_words dropped most \(7\): set clean\.filters\.gopher_quality\.min_words \(now 50\)"
    with pytest.raises(BadInput, match=expected):
        clean(tmp_path / "a", {"s": texts}, FilterSettings())
    languages = FilterSettings(presets=(), languages=("haw",))
    with pytest.raises(BadInput, match=r"language dropped most \(7\).*allows only haw"):
        clean(tmp_path / "b", {"s": texts}, languages)
    with pytest.raises(BadInput, match=r"none of 2 pages gave a text.*no_text"):
        clean(tmp_path / "c", {"s": [("http://a.test/1", ""), ("http://a.test/2", " ")]})
    with pytest.raises(BadInput, match="no page at all"):
        clean(tmp_path / "d", {"s": []})


def test_tables_of_different_documents_are_refused(tmp_path: Path) -> None:
    done = extract_all(tmp_path, a_corpus())
    documents, signals = done.paths("extract"), done.paths("signals")
    values = DecideAll(shards=tuple(done.shards), filters=ANYTHING)
    some = done.duplicates("some", documents[:1], DedupSettings())
    inputs = {"documents": documents, "signals": signals, "duplicates": [some]}
    with pytest.raises(ValueError, match="duplicates is of other documents"):
        done.step("x", decide, values, inputs)
    with pytest.raises(ValueError, match="are not the same"):
        done.step("y", decide, values, inputs | {"signals": signals[::-1]})
    with pytest.raises(ValueError, match="1 shard names for 2 folders"):
        done.step("z", decide, DecideAll(shards=("a",)), inputs)


def test_ids_of_unread_pages_are_theirs(tmp_path: Path) -> None:
    done = clean(tmp_path, a_corpus())
    dropped = [
        row
        for path in done.paths("extract")
        for row in read_table(path / "dropped.parquet", DROPPED).to_pylist()
    ]
    assert [row["doc_id"] for row in dropped] == [document_id("s", "http://a.test/empty", b" ")]
