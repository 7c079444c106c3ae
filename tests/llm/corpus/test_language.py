"""Language identification against texts whose language is known."""

import json
import zipfile
from pathlib import Path

import pytest

from llm.corpus.language import identify

# Files of the Declaration of Human Rights by ISO 639-3, and lid.176's codes.
DECLARATIONS = {
    "eng": "en",
    "fra": "fr",
    "spa": "es",
    "ita": "it",
    "nld": "nl",
    "pol": "pl",
    "rus": "ru",
    "tur": "tr",
    "hun": "hu",
    "fin": "fi",
    "jpn": "ja",
    "kor": "ko",
    "tha": "th",
    "arb": "ar",
    "heb": "he",
    "hin": "hi",
    "vie": "vi",
    "swh": "sw",
}


@pytest.mark.real_data
def test_declarations_of_human_rights_are_told_apart(shared_data: Path) -> None:
    wrong = []
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist()}
        for stem, code in DECLARATIONS.items():
            text = archive.read(names[stem]).decode("utf-8", "replace")
            language = identify(text[200:])
            if language.code != code or language.score < 0.5:
                wrong.append((stem, language))
    assert wrong == []


@pytest.mark.real_data
def test_english_documents_are_english_as_their_labels_say(shared_data: Path) -> None:
    rows = (shared_data / "finetune/instruct/seed_tasks.jsonl").read_text().splitlines()
    texts = [json.loads(row)["instruction"] for row in rows]
    codes = [identify(text).code for text in texts]
    assert codes.count("en") / len(codes) > 0.97


def test_the_whole_text_counts_not_its_beginning() -> None:
    english = "OK. Hello everybody, this is the beginning of the document, in English only. "
    german = "Der Rest des Textes steht auf Deutsch, und davon gibt es sehr viel mehr.\n" * 40
    assert identify(english).code == "en"
    assert identify(english + german).code == "de"


@pytest.mark.parametrize("text", ["", " \n ", "12 + 34 = 46", "?!…", "😀"])
def test_text_without_letters_is_undetermined(text: str) -> None:
    assert identify(text) == ("und", 0.0)


def test_scores_lie_between_nought_and_one() -> None:
    for text in ("Das ist ein Haus.", "os.path.join(a, b)", "x", "The cat sat on the mat."):
        assert 0 <= identify(text).score <= 1


def test_half_a_character_changes_nothing() -> None:
    text = "All human beings are born free and equal in dignity and rights."
    assert identify(f"{text} \ud83d").code == "en"
    assert identify("\ud83d\ud83d") == ("und", 0.0)
