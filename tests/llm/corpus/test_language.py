"""Language identification against texts whose language is known."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pycld2
import pytest

from llm.corpus import language
from llm.corpus.language import identify
from llm.corpus.language_codes import CODES

# Files of the Declaration of Human Rights by ISO 639-3, and our codes.
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
    "nob": "nb",
    "nno": "nn",
    "dan": "da",
    "hrv": "hr",
    "srp_latn": "sr",
    "srp_cyrl": "sr",
    "mkd": "mk",
    "bul": "bg",
    "ind": "id",
    "zul": "zu",
    "xho": "xh",
    "sna": "sn",
    "sot": "st",
    "tsn": "tn",
    "tso_MZ": "ts",
    "lug": "lg",
    "mri": "mi",
    "yor": "yo",
    "som": "so",
}


@pytest.mark.real_data
def test_declarations_of_human_rights_are_told_apart(shared_data: Path) -> None:
    wrong = []
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist()}
        for stem, code in DECLARATIONS.items():
            text = archive.read(names[stem]).decode("utf-8", "replace")
            found = identify(text[200:])
            if found.code != code or found.score < 0.5:
                wrong.append((stem, found))
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


def test_a_text_in_two_languages_has_that_of_most_of_it() -> None:
    english = "All human beings are born free and equal in dignity and rights. "
    german = "Alle Menschen sind frei und gleich an Würde und Rechten geboren. "
    for length in (3, 10, 40, 200):
        assert identify(english + german * length + english).code == "de"
        assert identify(german + english * length + german).code == "en"


@pytest.mark.real_data
def test_pieces_of_a_text_name_it_as_the_whole_does(shared_data: Path) -> None:
    texts = []
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist()}
        for stem in DECLARATIONS:
            text = archive.read(names[stem]).decode("utf-8", "replace")[200:]
            texts += [text, *(line for line in text.splitlines() if len(line) > 130)]
    pieces = [(language._spread(text), text) for text in texts]
    decided = [(guess, text) for guess, text in pieces if guess is not None]
    assert len(decided) > len(texts) / 2
    others = sum(guess.code != language._cld2(text).code for guess, text in decided)
    assert others <= len(decided) / 500


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Udviklingen af kærlighed og venskab, en situation med sandhed", "da"),
        ("Utviklingen av kjærlighet og vennskap, en situasjon med sannhet", "nb"),
        ("Frihed og lighed", "da"),
        ("Frihet og likhet", "nb"),
    ],
)
def test_danish_and_norwegian_are_told_apart_by_their_endings(text: str, code: str) -> None:
    assert identify(text).code == code


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


# Of the languages that fastText's model gives another's name, and of close ones.
HARD = {
    **{
        "zul": "zu",
        "xho": "xh",
        "sna": "sn",
        "sot": "st",
        "tsn": "tn",
        "tso_MZ": "ts",
        "lug": "lg",
    },
    **{"mri": "mi", "yor": "yo", "som": "so", "nob": "nb", "nno": "nn", "dan": "da", "afr": "af"},
    **{"hrv": "hr", "srp_latn": "sr", "srp_cyrl": "sr", "mkd": "mk", "bul": "bg", "ind": "id"},
}


@pytest.mark.real_data
def test_single_sentences_have_their_language(shared_data: Path) -> None:
    shares = {}
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist()}
        for stem, code in HARD.items():
            lines = archive.read(names[stem]).decode().splitlines()[8:]
            sentences = [line.strip() for line in lines if 40 < len(line) < 400]
            shares[stem] = sum(identify(one).code == code for one in sentences) / len(sentences)
    assert min(shares.values()) > 0.6, shares  # Serbian in Latin letters, beside Bosnian
    assert sum(shares.values()) / len(shares) > 0.94, shares


@pytest.mark.real_data
def test_languages_that_no_model_knows_are_rarely_named_surely(shared_data: Path) -> None:
    unknown = [
        "agr",
        "ame",
        "amc",
        "arl",
        "cab",
        "cak",
        "cbs",
        "cbt",
        "cbu",
        "cha",
        "cjk",
        "csa",
        "fon",
        "hna",
        "kbp",
        "kde",
        "mam",
        "mos",
        "not",
        "pau",
        "quc",
        "tob",
    ]
    found = []
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist()}
        for stem in set(unknown) & set(names):
            lines = archive.read(names[stem]).decode().splitlines()[8:]
            found += [identify(line.strip()) for line in lines if len(line) > 60]
    assert len(found) > 500
    assert sum(one.code != "und" and one.score >= 0.65 for one in found) / len(found) < 0.2
    assert sum(one.code in ("en", "de", "fr") for one in found) / len(found) < 0.1


def test_every_code_is_one_that_a_filter_may_name() -> None:
    labels = {
        label.removeprefix("__label__") for text in ("a", "я", "字", "ሀ") for label in _labels(text)
    }
    cld2 = {code for _, code in pycld2.LANGUAGES}
    unified = {language._SAME.get(code, code) for code in labels | cld2}
    assert {code for code in unified if not language._NO_LANGUAGE.match(code)} - CODES == {"sh"}


def _labels(text: str) -> list[str]:
    labels: list[str] = language._model().predict(text, k=176, threshold=-1.0)[0]
    return labels


@pytest.mark.parametrize(
    "text", ["All human\x00 beings are born\ufffe free", "\x01\x02 born free and equal \U0001ffff"]
)
def test_what_no_text_has_changes_nothing(text: str) -> None:
    assert identify(text + " in dignity and rights, and should act in brotherhood.").code == "en"


def test_other_processes_find_the_same() -> None:
    texts = [
        "Svatko ima pravo na život.",
        "Alle mennesker er født frie",
        "Bonke abantu bazalwa bekhululekile",
    ]
    code = (
        f"from llm.corpus.language import identify; print([tuple(identify(t)) for t in {texts!r}])"
    )
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        assert ran.stdout.strip() == str([tuple(identify(text)) for text in texts])
