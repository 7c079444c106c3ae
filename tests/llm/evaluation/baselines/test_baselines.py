"""Baselines on the bytes of the validation split, against figures computed elsewhere."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from llm.corpus.documents import hash64, validation
from llm.evaluation import registry
from llm.evaluation.baselines import uniform, witten_bell, xz
from llm.evaluation.baselines.ngram import WittenBell
from llm.evaluation.baselines.xz import xz_bytes
from llm.evaluation.result import Figure, read
from llm.evaluation.suite import MeasureBaseline
from llm.evaluation.texts import first_bytes, held_out, last_bytes, training_texts
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


def measured(name: str, folder: Path, out: Path) -> Figure:
    """The figure of a byte baseline."""
    module = {one.__name__: one for one in (uniform, witten_bell, xz)}[registry.BASELINES[name]]
    values = MeasureBaseline(name=name, settings=None, validation_fraction=0.3)
    out.mkdir()
    module.measure(values, {"documents": [folder]}, Context(out=out, work=out))
    return read(out).figures["bits_per_byte"]


def test_all_baselines_are_measured_on_the_same_bytes(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "a", TEXTS)
    figures = {
        name: measured(name, folder, tmp_path / name)
        for name in ("uniform", "bigram", "ngram5", "xz", "xz_primed")
    }
    values = {name: figure.value for name, figure in figures.items()}
    assert values["uniform"] == 8
    assert values["ngram5"] < values["bigram"] < 8
    assert values["xz_primed"] < values["xz"]
    size = sum(len(document.text) for document in held_out([folder], 0.3))
    assert {figure.weight for figure in figures.values()} == {size}
    for name in figures:
        assert f"{size} UTF-8 bytes" in read(tmp_path / name).protocol


def test_what_is_compressed_as_a_whole_has_no_interval(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "a", TEXTS)
    whole, each = (measured(name, folder, tmp_path / name) for name in ("xz", "bigram"))
    assert (whole.items, whole.interval, whole.smallest_difference) == (1, None, None)
    assert each.items == len(held_out([folder], 0.3)) and each.interval is not None


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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

    monkeypatch.setattr("llm.evaluation.texts.training_texts", counted)
    monkeypatch.setattr("llm.evaluation.baselines.ngram.CHUNK_BYTES", 2000)
    monkeypatch.setattr(witten_bell, "TRAINING_BYTES", 10_000)
    monkeypatch.setattr(xz, "PRIMED_BYTES", 3000)
    primed, bigram = (measured(name, folder, tmp_path / name) for name in ("xz_primed", "bigram"))
    # Two chunks at a time.
    assert 0 < Text.most <= 12 < len(list(training_texts([folder], 0.3)))
    documents = held_out([folder], 0.3)
    text = b"".join(document.text for document in documents)
    added = 8 * (xz_bytes(whole[-3000:] + text) - xz_bytes(whole[-3000:])) / len(text)
    assert primed.value == pytest.approx(added)
    some = list(first_bytes(training_texts([folder], 0.3), 10_000))
    assert sum(map(len, some[:-1])) < 10_000 <= sum(map(len, some))
    assert last_bytes(training_texts([folder], 0.3), 3000) == whole[-3000:]
    model = WittenBell(2, some)
    bits = model.bits([document.text for document in documents]).sum() / len(text)
    assert bigram.value == pytest.approx(bits)


def test_counts_do_not_depend_on_how_documents_are_taken_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = [text.encode() for text in TEXTS.values()]
    at_once = WittenBell(5, documents).bits(documents)
    monkeypatch.setattr("llm.evaluation.baselines.ngram.CHUNK_BYTES", 500)
    assert WittenBell(5, documents).bits(documents).tolist() == at_once.tolist()
