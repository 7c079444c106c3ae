"""Baselines on the bytes of the validation split, against figures computed elsewhere."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from llm.corpus.documents import hash64, validation
from llm.evaluation.baselines import MeasureBaselines, first_bytes, measure, xz_bytes
from llm.evaluation.ngram import WittenBell
from llm.evaluation.texts import held_out, training_texts
from llm.step import BadInput, Context
from tests.llm.evaluation.corpus import write_documents

TEXTS = {
    f"http://x.test/{n}": f"page {n}: " + f"häuser {n % 7} und gärten. " * 20 for n in range(60)
}


def test_every_byte_is_in_one_split_and_the_split_is_by_url(tmp_path: Path) -> None:
    folders = [
        write_documents(tmp_path / "a", dict(list(TEXTS.items())[:30])),
        write_documents(tmp_path / "b", dict(list(TEXTS.items())[30:])),
    ]
    scored = held_out(folders, 0.3)
    assert {document.text for document in scored} == {
        text.encode() for url, text in TEXTS.items() if validation(hash64(url), 0.3)
    }
    together = sorted([document.text for document in scored] + list(training_texts(folders, 0.3)))
    assert together == sorted(text.encode() for text in TEXTS.values())
    some = held_out(folders, 0.3, limit_bytes=1200)
    assert some == scored[: len(some)] and sum(len(document.text) for document in some) <= 1200


def test_an_empty_validation_split_says_what_to_do(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "a", TEXTS)
    with pytest.raises(BadInput, match=r"raise tokenize.validation.fraction"):
        held_out([folder], 1e-9)


def test_all_baselines_are_measured_on_the_same_bytes(tmp_path: Path, context: Context) -> None:
    folder = write_documents(tmp_path / "a", TEXTS)
    measure(MeasureBaselines(validation_fraction=0.3), {"documents": [folder]}, context)
    result = json.loads((context.out / "metrics.json").read_text())
    figures = result["bits_per_byte"]
    assert figures["uniform"] == 8
    assert figures["ngram5"] < figures["bigram"] < 8
    assert figures["xz_primed"] < figures["xz"]
    assert result["bytes"] == sum(len(document.text) for document in held_out([folder], 0.3))
    assert f"{result['bytes']} UTF-8 bytes" in result["protocol"]


def test_only_the_named_baselines_are_measured(tmp_path: Path, context: Context) -> None:
    folder = write_documents(tmp_path / "a", TEXTS)
    values = MeasureBaselines(baselines=("bigram",), validation_fraction=0.3)
    measure(values, {"documents": [folder]}, context)
    result = json.loads((context.out / "metrics.json").read_text())
    assert set(result["bits_per_byte"]) == {"bigram"}


def test_xz_is_what_the_xz_program_makes() -> None:
    text = "\n".join(TEXTS.values()).encode()
    try:
        program = subprocess.run(["xz", "-9e", "-c"], input=text, capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("the xz program is not installed")
    assert xz_bytes(text) == pytest.approx(len(program.stdout), abs=16)


@pytest.mark.real_data
def test_tinyshakespeare_primed_xz_is_the_published_2_518_bits(shared_data: Path) -> None:
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_bytes()
    split = int(len(text) * 0.9)
    added = xz_bytes(text) - xz_bytes(text[:split])
    assert 8 * added / (len(text) - split) == pytest.approx(2.518, abs=1e-3)


def test_training_text_is_never_held_as_a_whole(
    tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_documents(tmp_path / "a", TEXTS)
    whole = b"".join(training_texts([folder], 0.3))

    class Text(bytes):
        """Counts how many of its kind are there."""

        there = most = 0

        def __new__(cls, data: bytes) -> "Text":
            Text.there += 1
            Text.most = max(Text.most, Text.there)
            return super().__new__(cls, data)

        def __del__(self) -> None:
            Text.there -= 1

    def counted(folders: Sequence[Path], fraction: float) -> Iterator[bytes]:
        return (Text(text) for text in training_texts(folders, fraction))

    monkeypatch.setattr("llm.evaluation.baselines.training_texts", counted)
    monkeypatch.setattr("llm.evaluation.ngram.CHUNK_BYTES", 2000)
    values = MeasureBaselines(validation_fraction=0.3, primed_bytes=3000, ngram_bytes=10_000)
    measure(values, {"documents": [folder]}, context)
    result = json.loads((context.out / "metrics.json").read_text())
    # Two chunks at a time.
    assert Text.most <= 12 < len(list(training_texts([folder], 0.3)))
    assert result["training_bytes"] == len(whole)
    documents = held_out([folder], 0.3)
    text = b"".join(document.text for document in documents)
    primed = 8 * (xz_bytes(whole[-3000:] + text) - xz_bytes(whole[-3000:])) / len(text)
    assert result["bits_per_byte"]["xz_primed"] == pytest.approx(primed)
    some = list(first_bytes(training_texts([folder], 0.3), 10_000))
    assert sum(map(len, some[:-1])) < 10_000 <= sum(map(len, some))
    model = WittenBell(2, some)
    bits = model.bits([document.text for document in documents]).sum() / len(text)
    assert result["bits_per_byte"]["bigram"] == pytest.approx(bits)


def test_counts_do_not_depend_on_how_documents_are_taken_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = [text.encode() for text in TEXTS.values()]
    at_once = WittenBell(5, documents).bits(documents)
    monkeypatch.setattr("llm.evaluation.ngram.CHUNK_BYTES", 500)
    assert WittenBell(5, documents).bits(documents).tolist() == at_once.tolist()
