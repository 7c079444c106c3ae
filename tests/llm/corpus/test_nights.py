"""Tonight's documents against those of earlier nights: who wins, and that nothing is worked out again."""

import random
from functools import cache
from pathlib import Path

from llm.corpus.documents import CLUSTERS, DOCUMENTS, PAIRS, read_table
from llm.step import Context
from tests.llm.corpus.nights import edited, identity, prose, run, write_documents

Texts = list[tuple[str, str]]


@cache
def word_5_grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def alike(a: str, b: str) -> float:
    one, other = word_5_grams(a), word_5_grams(b)
    return len(one & other) / len(one | other)


def rows_of(context: Context, name: str) -> dict[bytes, dict[str, object]]:
    table = read_table(context.out / name / "clusters.parquet", CLUSTERS)
    return {row["doc_id"]: row for row in table.to_pylist()}


def write_kept(folder: Path, texts: Texts) -> Path:
    return write_documents(folder, texts, DOCUMENTS)


def two_nights() -> tuple[Texts, Texts]:
    """Pages of which some came the night before, some changed a little, and some are new."""
    rng = random.Random(8)
    before, tonight = [], []
    for at in range(60):
        words = prose(rng, rng.randrange(150, 300))
        url = f"http://a.test/{at}"
        if at % 3 < 2:
            before.append((url, " ".join(words)))
        if at % 3 > 0:
            for copy, edits in enumerate(rng.choices([0, 0, 1, 3, 12], k=3)):
                text = " ".join(edited(rng, words, edits))
                tonight.append((f"{url}/{copy}" if copy else url, text))
    return before, tonight


def test_an_earlier_night_wins_whatever_tonight_brings(tmp_path: Path, context: Context) -> None:
    before, tonight = two_nights()
    kept = before[:28]
    inputs = {
        "earlier": [write_documents(tmp_path / "before", before)],
        "kept": [write_kept(tmp_path / "kept", kept)],
    }
    result = run(context, "a", [write_documents(tmp_path / "tonight", tonight)], inputs)
    rows = rows_of(context, "a")
    texts = {identity(url, text): text for url, text in [*tonight, *kept]}
    old = {identity(url, text) for url, text in kept}
    assert set(rows) == {identity(url, text) for url, text in tonight}
    for own, row in rows.items():
        nearest = max(alike(texts[own], texts[one]) for one in old)
        if own in old:
            assert (row["kind"], row["of"], row["cluster"]) == ("seen", own, own)
        elif row["kind"] == "none":
            # 16 bands of 7 rows find 99.9 % of such pairs (the chances of 40 of them).
            assert nearest < 0.9
        else:
            assert alike(texts[own], texts[row["of"]]) >= 0.8
            assert row["cluster"] in old or nearest < 0.9
            if nearest >= 0.9:
                assert row["of"] in old or rows[row["of"]]["cluster"] in old
    kinds = [row["kind"] for row in rows.values()]
    assert min(kinds.count(kind) for kind in ("seen", "exact", "near", "none")) >= 3
    assert sum(row["of"] in old for row in rows.values() if row["kind"] == "near") >= 5
    assert result.counts == {"documents": len(tonight)} | {
        kind: kinds.count(kind) for kind in ("seen", "exact", "url", "near")
    }


def test_only_what_an_earlier_night_kept_counts(tmp_path: Path, context: Context) -> None:
    before, tonight = two_nights()
    folder = write_documents(tmp_path / "tonight", tonight)
    earlier = [write_documents(tmp_path / "before", before)]
    nothing = write_kept(tmp_path / "nothing", [])
    run(context, "alone", [folder])
    run(context, "none", [folder], {"earlier": earlier, "kept": [nothing]})
    run(context, "no-folder", [folder], {"earlier": earlier})
    for file in ("clusters.parquet", "pairs.parquet"):
        expected = (context.out / "alone" / file).read_bytes()
        assert (context.out / "none" / file).read_bytes() == expected
        assert (context.out / "no-folder" / file).read_bytes() == expected


def test_the_order_of_nights_and_shards_makes_no_difference(
    tmp_path: Path, context: Context
) -> None:
    before, tonight = two_nights()
    random.Random(1).shuffle(tonight)
    old = [write_documents(tmp_path / f"o{at}", before[at::3]) for at in range(3)]
    kept = [write_kept(tmp_path / f"k{at}", before[at::2]) for at in range(2)]
    new = [write_documents(tmp_path / f"n{at}", tonight[at::4]) for at in range(4)]
    run(context, "a", new, {"earlier": old, "kept": kept})
    run(context, "b", new[::-1], {"earlier": [old[1], old[2], old[0]], "kept": kept[::-1]})
    for file in ("clusters.parquet", "pairs.parquet"):
        assert (context.out / "a" / file).read_bytes() == (context.out / "b" / file).read_bytes()


def test_a_text_that_stayed_is_found_on_another_page(tmp_path: Path, context: Context) -> None:
    rng = random.Random(3)
    text = " ".join(prose(rng, 100))
    longer = f"{text} {' '.join(prose(rng, 8))}"
    inputs = {
        "earlier": [write_documents(tmp_path / "before", [("http://a.test/old", text)])],
        "kept": [write_kept(tmp_path / "kept", [("http://a.test/old", text)])],
    }
    tonight = [("http://a.test/new", text), ("http://a.test/long", longer)]
    run(context, "a", [write_documents(tmp_path / "tonight", tonight)], inputs)
    rows = rows_of(context, "a")
    old = identity("http://a.test/old", text)
    for (url, own), kind in zip(tonight, ("exact", "near"), strict=True):
        row = rows[identity(url, own)]
        assert (row["kind"], row["of"], row["cluster"]) == (kind, old, old)
    pairs = read_table(context.out / "a/pairs.parquet", PAIRS).to_pylist()
    assert [(pair["doc_id"], pair["of"]) for pair in pairs] == [
        (identity("http://a.test/long", longer), old)
    ]


def test_of_one_address_the_longest_stays(tmp_path: Path, context: Context) -> None:
    rng = random.Random(5)
    texts = [" ".join(prose(rng, words)) for words in (80, 120, 100, 90)]
    url = "http://a.test/"
    tonight = [(url, text) for text in texts[:3]] + [("http://b.test/", texts[0])]
    tonight.append(("http://b.test/other", texts[3]))
    run(context, "a", [write_documents(tmp_path / "tonight", tonight)], url=True)
    rows = rows_of(context, "a")
    best = identity(url, texts[1])
    for text in (texts[0], texts[2]):
        row = rows[identity(url, text)]
        assert (row["kind"], row["of"], row["similarity"]) == ("url", best, None)
    # The same text elsewhere stays: what it repeats went for its address.
    for row in (best, identity(*tonight[3]), identity(*tonight[4])):
        assert rows[row]["kind"] == "none"
    run(context, "off", [tmp_path / "tonight"])
    assert {row["kind"] for row in rows_of(context, "off").values()} == {"none", "exact"}


def test_an_address_that_an_earlier_night_kept_is_not_taken_again(
    tmp_path: Path, context: Context
) -> None:
    rng = random.Random(6)
    texts = [" ".join(prose(rng, words)) for words in (80, 120, 100, 60, 90)]
    before = [("http://a.test/", texts[0]), ("http://b.test/", texts[3])]
    tonight = [
        ("http://a.test/", texts[1]),
        ("http://a.test/", texts[2]),
        ("http://a.test/", texts[0]),
        ("http://b.test/", texts[4]),
    ]
    inputs = {
        "earlier": [write_documents(tmp_path / "before", before)],
        "kept": [write_kept(tmp_path / "kept", before[:1])],
    }
    result = run(context, "a", [write_documents(tmp_path / "n", tonight)], inputs, url=True)
    rows, old = rows_of(context, "a"), identity(*before[0])
    for longer in tonight[:2]:
        row = rows[identity(*longer)]
        assert (row["kind"], row["of"], row["cluster"]) == ("url", old, old)
        assert row["similarity"] is None
    assert rows[old]["kind"] == "seen"
    assert rows[identity(*tonight[3])]["kind"] == "none"  # that night did not keep its page
    assert result.counts == {"documents": 4, "seen": 1, "exact": 0, "url": 2, "near": 0}
    run(context, "off", [tmp_path / "n"], inputs)
    assert rows_of(context, "off")[identity(*tonight[0])]["kind"] == "none"
