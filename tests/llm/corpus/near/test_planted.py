"""Planted duplicates: as alike as they say, found as theory promises, and without a trace."""

import json
import random
import re
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from llm.corpus.documents import EXTRACTED, read_table
from llm.corpus.near.planted import PlantSettings, plant
from llm.corpus.near.recall import EDGES, TRUTH
from llm.step import Context
from tests.llm.corpus.nights import edited, run, write_documents


def reviews(shared_data: Path) -> list[tuple[str, str]]:
    """Some hundred film reviews, some of them again with changes."""
    with zipfile.ZipFile(shared_data / "finetune/nltk/movie_reviews.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".txt"))[:200]
        texts = [archive.read(name).decode() for name in names]
    rng = random.Random(1)
    texts += [" ".join(edited(rng, text.split(), 2)) for text in texts[:20]]
    return [(f"http://a.test/{at}", text) for at, text in enumerate(texts)]


def word_5_grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+(?:(?<=[^\W\d_])['’](?=[^\W\d_])\w+)*", text.lower())
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


@pytest.fixture
def planted(tmp_path: Path, shared_data: Path) -> tuple[list[Path], Path]:
    """Two shards of documents, and the folder of what is planted among them."""
    texts = reviews(shared_data)
    folders = [write_documents(tmp_path / str(at), texts[at::2]) for at in range(2)]
    out = tmp_path / "planted"
    out.mkdir()
    plant(PlantSettings(documents=40), {"documents": folders}, Context(out=out, work=tmp_path))
    return folders, out


@pytest.mark.real_data
def test_planted_documents_are_as_alike_as_they_say(planted: tuple[list[Path], Path]) -> None:
    folders, out = planted
    texts = {
        row["doc_id"]: row["text"]
        for folder in [*folders, out]
        for row in read_table(folder / "documents.parquet", EXTRACTED).to_pylist()
    }
    truth = read_table(out / "truth.parquet", TRUTH).to_pylist()
    assert len({row["origin"] for row in truth}) == 40
    for row in truth:
        a, b = word_5_grams(texts[row["doc_id"]]), word_5_grams(texts[row["origin"]])
        assert row["similarity"] == pytest.approx(len(a & b) / len(a | b), abs=1e-12)
        assert texts[row["doc_id"]] != texts[row["origin"]]
    for low, high in pairwise(EDGES):
        assert sum(low <= row["similarity"] <= high for row in truth) >= 20, low
    look_alikes = [row["similarity"] for row in truth if row["edit"] == "look_alike"]
    assert len(look_alikes) == 40
    assert max(look_alikes) < 0.8
    assert sum(value > 0.3 for value in look_alikes) > 10
    assert {row["edit"] for row in truth} == {
        "words", "cut", "frame", "order", "case", "look_alike"
    }  # fmt: skip


@pytest.mark.real_data
def test_planted_documents_are_found_as_theory_says_and_change_nothing(
    planted: tuple[list[Path], Path], context: Context
) -> None:
    folders, out = planted
    alone = run(context, "alone", folders)
    result = run(context, "with", folders, {"planted": [out], "truth": [out]})
    for file in ("clusters.parquet", "pairs.parquet"):
        expected = (context.out / "alone" / file).read_bytes()
        assert (context.out / "with" / file).read_bytes() == expected
    (told,) = (result.counts[name] for name in result.counts.keys() - alone.counts.keys())
    assert {**alone.counts, "planted": told} == result.counts
    assert not (context.out / "alone/planted.json").exists()
    figures = json.loads((context.out / "with/planted.json").read_text())
    due = [band["documents"] for band in figures["bands"] if band["from"] >= 0.8]
    assert told["due"] == sum(due) and told["wrong"] == 0
    assert told["recall"] == round(told["due_found"] / told["due"], 4) == figures["recall"]
    share = 100 * told["due_found"] // told["due"]
    assert result.summary.endswith(f"; planted: {share} % of {sum(due)} found, none wrongly")
    assert figures["precision"] == 1.0
    assert figures["recall"] >= 0.95
    assert figures["documents"] > 250
    for band in figures["bands"]:
        count, theory = band["documents"], band["theory"]
        slack = 4 * (theory * (1 - theory) / count) ** 0.5 + 1 / count
        assert band["met"] == pytest.approx(theory, abs=slack), band
        if band["from"] >= 0.8:
            assert band["found"] == pytest.approx(band["met"], abs=2 / count)
        else:
            assert band["found"] == 0
        if band["from"] >= 0.85:
            assert band["found"] >= 0.95


@pytest.mark.real_data
def test_what_is_planted_depends_on_the_content_only(
    planted: tuple[list[Path], Path], tmp_path: Path
) -> None:
    folders, out = planted
    for name, given in (("again", folders), ("reversed", folders[::-1])):
        other = tmp_path / name
        other.mkdir()
        plant(PlantSettings(documents=40), {"documents": given}, Context(out=other, work=tmp_path))
        for file in ("documents.parquet", "truth.parquet"):
            assert (other / file).read_bytes() == (out / file).read_bytes()


def test_a_corpus_too_small_to_plant_in_gives_nothing(tmp_path: Path, context: Context) -> None:
    folder = write_documents(tmp_path / "a", [("http://a.test/", "too short")])
    result = plant(PlantSettings(), {"documents": [folder]}, context)
    assert result.counts == {"documents": 0, "origins": 0}
    run(context, "a", [folder], {"planted": [context.out], "truth": [context.out]})
