"""Opt-out words and licences as filters."""

import pyarrow as pa

from llm.corpus.consent import ConsentSettings, refusals


def asked(settings: ConsentSettings, opt_out: list[str], licence: list[str]) -> dict[str, list]:
    columns = (pa.chunked_array([pa.array(one, pa.string())]) for one in (opt_out, licence))
    names, failed = refusals(settings, *columns)
    assert failed.shape == (len(opt_out), len(names))
    return {name: column.tolist() for name, column in zip(names, failed.T, strict=True)}


def test_words_that_are_respected_drop_and_others_do_not() -> None:
    words = ["", "noai", "noarchive noimageai", "noarchive tdm", "noairport"]
    got = asked(ConsentSettings(), words, [""] * 5)
    assert got == {"opt_out": [False, True, False, True, False]}
    got = asked(ConsentSettings(respect=("noarchive",)), words, [""] * 5)
    assert got == {"opt_out": [False, False, True, True, False]}


def test_licences_are_kept_by_pattern() -> None:
    found = ["https://creativecommons.org/licenses/by/4.0/", "CC-BY-NC", ""]
    settings = ConsentSettings(respect=(), licences=("*creativecommons.org/licenses/by/*",))
    assert asked(settings, [""] * 3, found) == {"licence": [False, True, True]}


def test_nothing_is_asked_where_nothing_is_set() -> None:
    assert asked(ConsentSettings(respect=()), ["noai", ""], ["", ""]) == {}


def test_no_document_at_all() -> None:
    settings = ConsentSettings(licences=("*",))
    assert asked(settings, [], []) == {"opt_out": [], "licence": []}
