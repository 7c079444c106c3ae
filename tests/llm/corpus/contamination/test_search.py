"""Evaluation items in documents: which are found, where, and what is taken for none."""

import gzip
import hashlib
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from llm.corpus.contamination.index import Index, make_index, search
from llm.corpus.contamination.search import HITS, find_contaminated, index
from llm.corpus.contamination.sets import (
    DecontaminateSettings,
    EvaluationSet,
    Item,
    evaluation_files,
)
from llm.corpus.contamination.sets import items as read_items
from llm.corpus.documents import EXTRACTED, read_table, write_table
from llm.step import BadInput, Context

NOVEL = (
    "It was a bright cold day in April, and the clocks were striking. A man slipped through the "
    "glass doors of the mansions, though not quickly enough to keep a swirl of dust from following."
)
OTHER = (
    "The hallway smelt of boiled cabbage and old rag mats. At one end of it a coloured poster, too "
    "large for indoor display, had been tacked to the wall for everybody to look at every day."
)


def _index(*texts: str, n: int = 13) -> Index:
    listed = [Item("set", str(number), (text,), ()) for number, text in enumerate(texts, 1)]
    return make_index(listed, n)[0]


def _found(made: Index, text: str, min_overlap: float = 0.6) -> list[tuple[int, str]]:
    return [(one.item, text[one.start : one.end]) for one in search(made, [text], min_overlap)]


def _documents(folder: Path, texts: Sequence[str]) -> Path:
    rows = [
        {"doc_id": _id(text), "url": f"u{number}", "source": "s", "language": "en"}
        | {"language_score": 1.0, "licence": "", "opt_out": "", "text": text}
        for number, text in enumerate(texts)
    ]
    write_table(folder / "documents.parquet", pa.Table.from_pylist(rows, schema=EXTRACTED))
    return folder


def _id(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _context(root: Path, name: str) -> Context:
    (root / name).mkdir()
    return Context(out=root / name, work=root)


@pytest.fixture
def settings(shared_data: Path) -> DecontaminateSettings:
    folder = shared_data / "eval"
    choices = {"fields": ("query", "choices")}
    pairs = {"fields": ("context", "continuation")}
    return DecontaminateSettings(
        sets={
            "copa": EvaluationSet(path=str(folder / "multiple_choice/copa.jsonl"), **choices),
            "openbook": EvaluationSet(
                path=str(folder / "multiple_choice/openbook_qa.jsonl"), **choices
            ),
            "piqa": EvaluationSet(path=str(folder / "multiple_choice/piqa.jsonl"), **choices),
            "lambada": EvaluationSet(
                path=str(folder / "multiple_choice/lambada_openai.jsonl"), **pairs
            ),
            "gsm8k": EvaluationSet(
                path=str(folder / "gsm8k/test.jsonl"), fields=("question", "answer")
            ),
        }
    )


_made: list[tuple[list[Item], Index, dict[str, int]]] = []


@pytest.fixture
def built(settings: DecontaminateSettings) -> tuple[list[Item], Index, dict[str, int]]:
    """The items of all sets and their index, made once for all tests."""
    if not _made:
        listed = list(read_items(settings, evaluation_files(settings)))
        _made.append((listed, *make_index(listed, settings.n)))
    return _made[0]


@pytest.mark.real_data
def test_every_item_is_found_word_for_word_and_where_it_stands(
    built: tuple[list[Item], Index, dict[str, int]], shared_data: Path
) -> None:
    # Marin found 54 % of items planted word for word: those shorter than its n-grams were lost.
    listed, made, counts = built
    assert counts["items"] == 100 + 500 + 1838 + 5153 + 1319
    assert counts["unfindable"] <= 5
    chosen = range(0, len(listed), 7)
    wiki = (shared_data / "lm/wikitext2raw/wiki.valid.raw").read_text()[:2000]
    # With all choices, or with one of them only, as a copy would have it.
    copies = [listed[number].texts[number % 2 and -1] for number in chosen]
    texts = [f"{wiki}\n{copy}\n{wiki}" for copy in copies]
    by_text: dict[int, dict[str, str]] = {}
    for one in search(made, texts, 0.6):
        evidence = texts[one.text][one.start : one.end]
        by_text.setdefault(one.text, {})[listed[one.item].texts[0]] = evidence
    right = 0
    for text, (number, copy) in enumerate(zip(chosen, copies, strict=True)):
        evidence = by_text.get(text, {}).get(listed[number].texts[0], "")
        right += bool(evidence) and evidence in copy
    assert right / len(chosen) >= 0.99


@pytest.mark.real_data
def test_prose_holds_no_items(
    built: tuple[list[Item], Index, dict[str, int]], shared_data: Path
) -> None:
    texts = (shared_data / "lm/wikitext2raw/wiki.test.raw").read_text().split("\n = ")
    texts += (shared_data / "lm/gutenberg/1342-0.txt").read_text().split("\n\n\n")
    with gzip.open(shared_data / "clean/dolma/provided/documents/000.json.gz", "rt") as file:
        texts += [json.loads(line)["text"] for line in file]
    assert search(built[1], texts, 0.3) == []


@pytest.mark.real_data
def test_steps_report_recall_and_precision_and_keep_planted_text_out(
    settings: DecontaminateSettings,
    built: tuple[list[Item], Index, dict[str, int]],
    shared_data: Path,
    tmp_path: Path,
) -> None:
    files = evaluation_files(settings)
    indexed = _context(tmp_path, "index")
    assert index(settings, {"files": files}, indexed).counts == built[2]
    wiki = (shared_data / "lm/wikitext2raw/wiki.test.raw").read_text().split("\n = ")[:60]
    copied = built[0][3000]
    wiki[7] += f"\n{copied.texts[0]}\n"
    folder = _documents(tmp_path / "documents", wiki)
    context = _context(tmp_path, "hits")
    result = find_contaminated(settings, {"documents": [folder], "index": [indexed.out]}, context)
    (hit,) = read_table(context.out / "hits.parquet", HITS).to_pylist()
    assert hit["doc_id"] == _id(wiki[7])
    assert (hit["set"], hit["item"]) == (copied.set, copied.name)
    assert hit["overlap"] == 1.0
    assert wiki[7][hit["start"] : hit["end"]].startswith(hit["evidence"])
    assert len(hit["evidence"]) <= 200
    recall = result.counts["recall"]
    assert recall["verbatim"] == recall["short"] == 1.0
    assert recall["restyled"] >= 0.95
    assert recall["edited"] >= 0.85
    assert result.counts["precision"] >= 0.99
    planted = json.loads((context.out / "planted.json").read_text())
    found = sum(one["found"] for one in planted["kinds"].values())
    assert result.summary == (
        f"1 of 60 documents holds evaluation items; planted: {found} % of 100 found, none wrongly"
    )
    assert {one["planted"] for one in planted["kinds"].values()} == {25}
    assert [one["planted"] for one in planted["near_misses"].values()] == [25, 25]
    again = _context(tmp_path, "again")
    same = find_contaminated(settings, {"documents": [folder], "index": [indexed.out]}, again)
    assert same == result


@pytest.mark.parametrize(
    "text",
    [
        NOVEL.upper(),
        NOVEL.replace(" ", "\n \t"),
        NOVEL.replace(",", " --").replace(".", ""),
        NOVEL.replace("fo", "f\u200bo").replace("fi", "ﬁ").replace("i", "i\u00ad"),
    ],
)
def test_case_punctuation_white_space_and_unicode_do_not_matter(text: str) -> None:
    document = f"Ça commence: {text} Et la suite…"
    (one,) = search(_index(NOVEL), [document], 0.9)
    assert one.overlap == 1.0
    assert document[one.start : one.end].strip(" .") == text.strip(" .")


def test_letters_and_their_marks_may_be_apart() -> None:
    text = "Der Müller übt täglich fünf Stücke für größere Säle, später möchte er nördlich wohnen."
    apart = unicodedata.normalize("NFD", text)
    assert len(apart) > len(text)
    (one,) = search(_index(text), [f"x {apart} y"], 0.9)
    assert one.overlap == 1.0


def test_items_shorter_than_an_n_gram_are_found_whole_only() -> None:
    made = _index("The woman retired, therefore she received her pension.")
    assert _found(made, "x the woman retired therefore she received her pension y") == [
        (0, "the woman retired therefore she received her pension")
    ]
    assert _found(made, "The woman retired, therefore she received a medal.") == []
    counts = make_index([Item("s", "1", ("Too short.",), ())], 13)[1]
    assert counts["too_short"] == counts["unfindable"] == 1


def test_items_of_a_few_words_are_found_whole_from_min_words_on() -> None:
    short = [
        Item("s", "1", ("Who had left?",), ()),
        Item("s", "2", ("Galileo mortgages clouds",), ()),
    ]
    for least, known in ((3, 2), (4, 0)):
        made, counts = make_index(short, 13, least)
        assert counts["too_short"] == 2 - known
        assert len(_found(made, "x Galileo mortgages -- clouds; who had left? y", 1.0)) == known
        assert _found(made, "Galileo mortgages white clouds. Who had gone, who left?", 0.1) == []
    # The words of Chinese are letters, and a choice by itself is no item.
    choices = ("Where? in the garden", "in the garden", "in the shed")
    for texts, text in ((("北京市", "中国"), "中国北京市里"), (choices, "She sat in the garden")):
        assert _found(make_index([Item("s", "1", texts, ())], 13)[0], text, 1.0) == []


def test_a_short_item_that_many_documents_have_is_no_sign() -> None:
    made = _index("Once upon a time")
    texts = [f"{OTHER[number * 5 :]} once upon a time" for number in range(12)]
    assert len(search(made, texts[:3], 1.0)) == 3
    assert search(made, texts, 1.0) == []


def test_scripts_without_spaces_are_searched_too() -> None:
    chinese = (
        "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
    )
    assert _found(_index(chinese), f"前文。{chinese}后文。") == [(0, chinese)]


def test_overlap_is_the_share_of_words_found_together() -> None:
    words = NOVEL.split()
    half = " ".join(words[: len(words) // 2])
    made = _index(NOVEL)
    assert search(made, [f"x {half} y"], 0.6) == []
    (one,) = search(made, [f"x {half} y"], 0.4)
    assert one.overlap == pytest.approx(0.5, abs=0.03)
    # The halves far apart do not add up.
    rest = " ".join(words[len(words) // 2 :])
    assert search(made, [f"{half} {' '.join(OTHER.split() * 3)} {rest}"], 0.6) == []


def test_what_many_items_share_is_no_sign_of_one() -> None:
    template = (
        "Read the following passage carefully and then answer the question below it in full: "
    )
    texts = [f"{template} {number} {NOVEL[number * 9 :]}" for number in range(12)]
    listed = [Item("s", str(number), (text,), ()) for number, text in enumerate(texts)]
    made, counts = make_index(listed, 13)
    assert counts["templates"] > 0
    assert search(made, [template + OTHER], 0.3) == []


def test_what_many_documents_share_is_boilerplate_unless_an_item_is_whole() -> None:
    notice = (
        "All content on this site is provided as is, without any warranty, and may be used freely."
    )
    made = _index(f"{notice} {NOVEL[:60]}")
    texts = [f"{OTHER[number * 5 :]} {notice}" for number in range(12)]
    assert search(made, texts[:3], 0.4) != []
    assert search(made, texts, 0.4) == []
    whole = [*texts, f"{notice} {NOVEL[:60]}"]
    assert {one.text for one in search(made, whole, 0.4)} == {12}


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_sets_are_read_in_every_form(tmp_path: Path, packed: str) -> None:
    rows = [{"id": "q1", "deep": {"q": "Question: Who?"}, "choices": ["me", "you"]}]
    forms = {
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "a.json": json.dumps(rows),
    }
    for name, text in forms.items():
        path = tmp_path / f"{name}{packed}"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        one = EvaluationSet(path=str(path), fields=("deep.q", "choices"))
        settings = DecontaminateSettings(sets={"s": one})
        assert list(read_items(settings, evaluation_files(settings))) == [
            Item("s", "q1", ("Who?\nme\nyou", "Who?\nme", "Who?\nyou"), ("Who?", "me", "you"))
        ]


def test_text_and_tables_are_read(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one\n\ntwo\n")
    (tmp_path / "rows.csv").write_text("id,text\n7,seven\n")
    sets = {
        "csv": EvaluationSet(path=str(tmp_path / "rows.csv"), fields=("text",)),
        "txt": EvaluationSet(path=str(tmp_path / "lines.txt")),
    }
    settings = DecontaminateSettings(sets=sets)
    found = list(read_items(settings, evaluation_files(settings)))
    assert [(one.set, one.name, one.texts) for one in found] == [
        ("csv", "7", ("seven",)),
        ("txt", "1", ("one",)),
        ("txt", "2", ("two",)),
    ]


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        ('{"a": "x"}\n', (), "has the fields a: name those of its text"),
        ('{"a": "x"}\n', ("b",), "has no field 'b'; there are: a"),
        ('{"a": "x"}\n{"a"\n', ("a",), "line 2 cannot be read"),
        ("", ("a",), "has no item"),
        ("[1]\n", ("a",), "is not an object but list"),
    ],
)
def test_a_bad_set_says_what_to_do(
    tmp_path: Path, content: str, fields: tuple[str, ...], message: str
) -> None:
    (tmp_path / "set.jsonl").write_text(content)
    one = EvaluationSet(path=str(tmp_path / "set.jsonl"), fields=fields)
    settings = DecontaminateSettings(sets={"s": one})
    with pytest.raises(BadInput, match=message):
        list(read_items(settings, evaluation_files(settings)))


def test_an_index_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_text("yes\nno\n")
    settings = DecontaminateSettings(sets={"s": EvaluationSet(path=str(tmp_path / "set.txt"))})
    with pytest.raises(BadInput, match="none of 2 evaluation items is long enough"):
        index(settings, {"files": evaluation_files(settings)}, _context(tmp_path, "index"))
