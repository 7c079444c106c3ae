"""Signatures: what is kept of documents, the same however they are cut up, and no text."""

import random
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.dedup import DedupSettings, NearSettings, near_duplicates
from llm.corpus.near.minhash import band_keys, shingle_sets, shingles
from llm.corpus.near.signatures import Signatures, SignatureSettings
from llm.step import BadInput, Context
from tests.llm.corpus.nights import identity, prose, run, signed, write_documents


def some_texts() -> list[tuple[str, str]]:
    rng = random.Random(7)
    texts = [" ".join(prose(rng, rng.choice([3, 50, 400, 3000]))) for _ in range(150)]
    texts += ["", "...", "one", "日本語の文章です。" * 20]
    return [(f"http://a.test/page/{at}", text) for at, text in enumerate(texts)]


def test_signatures_are_those_of_the_documents(tmp_path: Path) -> None:
    texts = some_texts()
    texts.sort(key=lambda text: identity(*text))
    halves = [
        write_documents(tmp_path / "a", texts[:70]),
        write_documents(tmp_path / "b", texts[70:]),
    ]
    found = Signatures([signed(half, DedupSettings()) for half in halves], SignatureSettings())
    flat, bounds = shingle_sets(pa.array([text for _, text in texts], pa.large_string()), 5)
    keys = band_keys(flat, bounds, 16, 7)
    assert len(found) == len(texts)
    assert found.numbers("shingles").tolist() == np.diff(bounds).tolist()
    assert found.numbers("bytes").tolist() == [len(text.encode()) for _, text in texts]
    assert found.digests("doc_id").tobytes() == b"".join(identity(*text) for text in texts)
    for band in range(14):
        assert np.array_equal(found.band(band), keys[:, band])
    chosen = np.array([0, 3, 69, 70, 99, 153])
    for position, data in zip(chosen, found.shingles(chosen), strict=True):
        expected = flat[bounds[position] : bounds[position + 1]]
        assert np.array_equal(np.frombuffer(data, "<u4"), expected)
    assert found.band_of(3, chosen).tolist() == found.band(3)[chosen].tolist()


def test_there_is_nothing_to_erase_in_signatures(tmp_path: Path) -> None:
    texts = some_texts()
    folder = signed(write_documents(tmp_path / "a", texts), DedupSettings())
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    words = {word.encode() for _, text in texts for word in text.split() if len(word) > 4}
    assert not [word for word in sorted(words)[:1000] if word in stored]
    assert b"a.test" not in stored


def test_signatures_made_otherwise_are_refused(tmp_path: Path, context: Context) -> None:
    folder = write_documents(tmp_path / "a", some_texts())
    made = signed(folder, DedupSettings(near=NearSettings(bands=20)))
    with pytest.raises(BadInput, match=r"\(5, 20, 7\), the recipe has \(5, 16, 7\); sign those"):
        run(context, "a", [folder], {"signatures": [made]})


def test_a_document_given_twice_is_refused(tmp_path: Path, context: Context) -> None:
    folder = write_documents(tmp_path / "a", some_texts())
    with pytest.raises(BadInput, match="comes more than once"):
        run(context, "a", [folder, folder])


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cmn_hans", "cmn_hant", "jpn", "tha", "arb", "deu", "eng"])
def test_every_script_has_words_to_compare(name: str, shared_data: Path) -> None:
    # The Declaration's text in each language, by halves; each half again with one stretch in ten
    # characters gone at three places, as an editor would leave it.
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        text = archive.read(f"udhr2/{name}.txt").decode("utf-8-sig")
    middle = len(text) // 2
    halves = [text[:middle], text[middle:]]
    sizes = [len(one) for one in shingles(halves, 5)]
    assert min(sizes) > 500, "words are too few: the script is not split"
    copies = []
    for half in halves:
        third = len(half) // 3
        copies.append("".join(half[at * third : (at + 1) * third - 10] for at in range(3)))
    found = near_duplicates([*halves, *copies], 0.8)
    assert [(one.position, one.of) for one in found] == [(2, 0), (3, 1)]
    assert all(one.similarity > 0.9 for one in found)
