"""Duplicates: found where they are, verified, none invented, the same in whatever order."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.dedup import NearSettings, near_duplicates
from llm.corpus.documents import CLUSTERS, PAIRS, document_id, read_table
from llm.corpus.near.clusters import MOST_COMPARED, Sets, Slots, cluster
from llm.corpus.near.minhash import jaccard, shingle_sets, shingles
from llm.step import Context
from tests.llm.corpus.nights import edited, prose, run, write_documents

Shingles = set[tuple[str, ...]]


def word_5_grams(text: str) -> Shingles:
    words = text.split()
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def similarity(a: Shingles, b: Shingles) -> float:
    return len(a & b) / len(a | b)


def test_seeded_edits_are_found_by_band_and_nothing_else_is() -> None:
    rng = random.Random(11)
    pairs = []
    for edits in range(0, 34):
        for _ in range(20):
            original = prose(rng, 300)
            pairs.append((" ".join(original), " ".join(edited(rng, original, edits))))
    texts = [text for pair in pairs for text in pair]
    found = near_duplicates(texts, 0.8)
    grams = [word_5_grams(text) for text in texts]
    for position, of, reported in found:
        assert position // 2 == of // 2
        assert reported == pytest.approx(similarity(grams[position], grams[of]), abs=1e-15)
        assert reported >= 0.8
        assert (len(texts[of]), of) != (len(texts[position]), position)
        assert len(texts[of]) >= len(texts[position])
    got = {position // 2 for position, _, _ in found}
    true = [similarity(grams[2 * at], grams[2 * at + 1]) for at in range(len(pairs))]
    for low, high, least in (
        (0.8, 0.85, 0.85),
        (0.85, 0.9, 0.95),
        (0.9, 0.95, 0.99),
        (0.95, 1.01, 1),
    ):
        band = [at for at, value in enumerate(true) if low <= value < high]
        assert len(band) >= 25
        assert sum(at in got for at in band) / len(band) >= least, (low, high)
    assert sum(0.5 < value < 0.8 for value in true) > 200


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6])
def test_pairs_that_are_less_alike_are_found_as_brute_force_finds_them(threshold: float) -> None:
    rng = random.Random(int(threshold * 10))
    texts = []
    for at in range(150):
        original = prose(rng, 200)
        # A pair that shares s of n n-grams has a similarity of s / (2 n - s).
        shared = round(200 * 2 * threshold / (1 + threshold)) + at % 20 - 6
        texts += [" ".join(original), " ".join(original[:shared] + prose(rng, 200 - shared))]
    grams = [word_5_grams(text) for text in texts]
    alike = {
        (a, b)
        for a in range(len(texts))
        for b in range(a)
        if similarity(grams[a], grams[b]) >= threshold
    }
    assert len(alike) > 75
    found = near_duplicates(texts, threshold)
    together = {(max(one[:2]), min(one[:2])) for one in found}
    assert together <= alike
    assert len(together) >= 0.97 * len(alike)


def test_bands_that_would_miss_most_are_refused() -> None:
    for given in ({"bands": 16, "rows": 7}, {"rows": 50}):
        with pytest.raises(ValueError, match=r"bands: .* with rows: .* similarity 0.5"):
            NearSettings(similarity=0.5, **given)
    assert NearSettings().banding() == NearSettings(bands=16, rows=7).banding()


def test_a_night_finds_pairs_that_are_half_alike(tmp_path: Path, context: Context) -> None:
    rng = random.Random(3)
    texts = []
    for at in range(60):
        original = prose(rng, 200)
        copy = original[:140] + prose(rng, 60)
        texts += [
            (f"http://a.test/{at}/{n}", " ".join(one)) for n, one in enumerate((original, copy))
        ]
    folder = write_documents(tmp_path / "all", texts)
    result = run(context, "a", [folder], near=NearSettings(similarity=0.5))
    assert result.counts["near"] >= 59


def test_pages_of_one_template_are_not_duplicates() -> None:
    rng = random.Random(2)
    frame = prose(rng, 120)
    texts = [" ".join(frame[:60] + prose(rng, 60) + frame[60:]) for _ in range(200)]
    grams = [word_5_grams(text) for text in texts]
    assert 0.4 < similarity(grams[0], grams[1]) < 0.8
    assert near_duplicates(texts, 0.8) == []


def test_a_chain_of_edits_does_not_swallow_its_end() -> None:
    rng = random.Random(4)
    chain = [prose(rng, 400)]
    while len(chain) < 30:
        chain.append(edited(rng, chain[-1], 5))
    texts = [" ".join(words) for words in chain]
    grams = [word_5_grams(text) for text in texts]
    assert similarity(grams[0], grams[-1]) < 0.4
    found = near_duplicates(texts, 0.8)
    removed = {one.position for one in found}
    assert all(similarity(grams[one.position], grams[one.of]) >= 0.8 for one in found)
    assert not removed & {one.of for one in found}
    assert 10 < len(removed) < len(texts) - 3


def test_the_threshold_is_kept_to_and_must_be_a_similarity() -> None:
    rng = random.Random(9)
    original = prose(rng, 300)
    texts = [" ".join(original), " ".join(edited(rng, original, 3))]
    true = similarity(*map(word_5_grams, texts))
    assert len(near_duplicates(texts, true)) == 1
    assert near_duplicates(texts, true + 1e-9) == []
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        near_duplicates(texts, 1.5)


@pytest.mark.parametrize("texts", [[], [""], ["", "..."], ["...", "!"], ["one", "two"]])
def test_texts_with_nothing_in_common_are_no_duplicates(texts: list[str]) -> None:
    assert near_duplicates(texts, 0.8) == []


def test_texts_without_words_repeat_their_equals_only() -> None:
    assert near_duplicates(["", "😀" * 50, "a b", "😀" * 50, "", "😀" * 49, ""]) == [
        (3, 1, 1.0),
        (4, 0, 1.0),
        (6, 0, 1.0),
    ]


def test_any_texts_are_taken_but_a_single_one() -> None:
    text = " ".join(prose(random.Random(5), 50))
    assert near_duplicates(one for one in (text, text)) == [(1, 0, 1.0)]
    assert near_duplicates([f"{text} \ud800", f"{text} \udfff"]) == [(1, 0, 1.0)]
    with pytest.raises(TypeError, match="single str"):
        near_duplicates(text)


def test_short_texts_repeat_each_other_when_all_their_words_agree() -> None:
    assert near_duplicates(["Page not found", "page not found!", "page found"], 0.8) == [
        (0, 1, 1.0)
    ]


def test_of_a_crowd_in_one_band_only_some_are_compared() -> None:
    # 1,500 documents in one bucket; of the last two, alike to the first and the last of the
    # representatives that a bucket remembers, only the first is compared with its own.
    rng = random.Random(0)
    texts = [" ".join(prose(rng, 12)) for _ in range(1500)]
    texts += [texts[MOST_COMPARED], texts[0]]
    flat, bounds = shingle_sets(pa.array(texts, pa.large_string()), 5)
    slots = Slots(np.arange(len(texts)), np.tile(np.arange(2, dtype=np.int32), (len(texts), 1)), 2)
    found = cluster(slots, Sets(flat, bounds[:-1], bounds[1:]), 0.8)
    assert found.representative.tolist() == [*range(1501), 0]


@pytest.mark.real_data
def test_two_printings_of_a_licence_are_duplicates_and_another_licence_is_not(
    shared_data: Path,
) -> None:
    folder = shared_data / "clean/near_and_line_duplicates/documents_with_fuzzy_duplicates"
    names = ["pytorch_license.txt", "rails_mit_license.txt", "react_mit_license.txt"]
    texts = [(folder / name).read_text() for name in names]
    found = near_duplicates(texts, 0.8)
    assert [(one.position, one.of) for one in found] == [(1, 2)]


@pytest.mark.real_data
def test_crawled_pages_hide_no_duplicates_that_brute_force_finds(shared_data: Path) -> None:
    texts = []
    for name in ("cc_en_head-0091", "cc_en_head-0174"):
        with gzip.open(shared_data / f"clean/dolma/multiple_files/{name}.jsonl.gz", "rt") as file:
            texts += [json.loads(line)["text"] for line in file]
    rng = random.Random(1)
    texts += [" ".join(edited(rng, text.split(), 2)) for text in texts[:20]]
    sets = shingles(texts, 5)
    # Whatever the edits made of short texts: all pairs are compared here, none skipped.
    alike = {
        (a, b) for a in range(len(texts)) for b in range(a) if jaccard(sets[a], sets[b]) >= 0.87
    }
    found = near_duplicates(texts, 0.8)
    together = {frozenset((one.position, one.of)) for one in found}
    assert len(alike) >= 10
    assert {frozenset(pair) for pair in alike} <= together


def a_corpus() -> list[tuple[str, str]]:
    rng = random.Random(6)
    texts = []
    for at in range(40):
        words = prose(rng, rng.randrange(100, 300))
        for copy in range(rng.randrange(1, 5)):
            changed = edited(rng, words, rng.choice([0, 0, 1, 2, 6]))
            texts.append((f"http://a.test/{at}/{copy}", " ".join(changed)))
    return texts


def test_the_step_does_not_care_for_order_or_shards(tmp_path: Path, context: Context) -> None:
    texts = a_corpus()
    one = write_documents(tmp_path / "all", texts)
    shuffled = texts[:]
    random.Random(0).shuffle(shuffled)
    halves = [
        write_documents(tmp_path / "first", shuffled[:31]),
        write_documents(tmp_path / "second", shuffled[31:]),
    ]
    results = [
        run(context, "a", [one]),
        run(context, "b", halves),
        run(context, "c", halves[::-1]),
    ]
    assert len({result.content for result in results}) == 1
    for file in ("clusters.parquet", "pairs.parquet"):
        assert len({(context.out / name / file).read_bytes() for name in "abc"}) == 1
    assert list(context.work.glob("*/*")) == []


def test_the_step_says_of_what_each_is_a_duplicate(tmp_path: Path, context: Context) -> None:
    texts = a_corpus()
    result = run(context, "a", [write_documents(tmp_path / "all", texts)])
    rows = read_table(context.out / "a/clusters.parquet", CLUSTERS).to_pylist()
    text_of = {document_id("s", url, text): text for url, text in texts}
    assert {row["doc_id"] for row in rows} == set(text_of)
    by_id = {row["doc_id"]: row for row in rows}
    for row in rows:
        if row["kind"] == "none":
            assert (row["cluster"], row["of"], row["similarity"]) == (row["doc_id"], None, None)
            continue
        a, b = word_5_grams(text_of[row["doc_id"]]), word_5_grams(text_of[row["of"]])
        assert row["similarity"] == pytest.approx(similarity(a, b), abs=1e-15)
        assert (row["kind"] == "exact") == (text_of[row["doc_id"]] == text_of[row["of"]])
        assert row["cluster"] == by_id[row["of"]]["cluster"]
        assert by_id[row["cluster"]]["kind"] == "none"
    kinds = ("seen", "exact", "url", "near")
    counts = {kind: sum(row["kind"] == kind for row in rows) for kind in kinds}
    assert result.counts == {"documents": len(texts), **counts}
    assert min(counts["exact"], counts["near"]) > 5
    pairs = read_table(context.out / "a/pairs.parquet", PAIRS).to_pylist()
    for pair in pairs:
        a, b = word_5_grams(text_of[pair["doc_id"]]), word_5_grams(text_of[pair["of"]])
        assert pair["similarity"] == pytest.approx(similarity(a, b), abs=1e-15)
        assert pair["similarity"] >= 0.8


def test_exact_and_near_can_be_switched_off(tmp_path: Path, context: Context) -> None:
    folders = [write_documents(tmp_path / "all", a_corpus())]
    both = run(context, "both", folders).counts
    only_exact = run(context, "exact", folders, near=None).counts
    only_near = run(context, "near", folders, exact="none").counts
    assert only_exact == {**both, "near": 0}
    assert only_near["exact"] == 0
    assert only_near["near"] == both["near"] + both["exact"]
    assert run(context, "neither", folders, exact="none", near=None).counts["near"] == 0
    strict = run(context, "strict", folders, near=NearSettings(similarity=1.0)).counts
    assert strict["near"] < both["near"]


def test_no_documents_are_no_clusters(tmp_path: Path, context: Context) -> None:
    result = run(context, "a", [write_documents(tmp_path / "none", [])])
    assert result.counts == {"documents": 0, "seen": 0, "exact": 0, "url": 0, "near": 0}
