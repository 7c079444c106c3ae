"""C4's lines: which stay, by the rules of its paper and of the code that made it."""

import zipfile
from pathlib import Path

import pytest

from llm.corpus.presets.c4 import C4
from llm.corpus.signals import signals
from llm.corpus.text.c4 import c4_lines


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("This line ends well.", True),
        ('He said it "like this"', True),
        ("No end to this", False),
        ("It trails off...", False),
        ("Two words.", False),
        ("Please enable JavaScript to go on.", False),
        ("Read our Privacy Policy before you go.", False),
        ("This site uses cookies for you.", False),
        ("A cookie is a biscuit in Britain.", True),
        (f"One word is {'x' * 1001} too long.", False),
        (f"One word is {'x' * 1000} long enough.", True),
    ],
)
def test_a_line_stays_as_the_paper_says(line: str, kept: bool) -> None:
    assert c4_lines(f"Before it stands this.\n{line}", C4()) == "Before it stands this." + (
        f"\n{line}" if kept else ""
    )


def test_citations_go_and_lines_may_end_in_anything_on_request() -> None:
    text = "  The town is old.[12][citation needed]\nMenu of the day\n\nSee also[edit] this one"
    assert c4_lines(text, C4()) == "The town is old."
    assert c4_lines(text, C4(terminal_punctuation=False)) == (
        "The town is old.\nMenu of the day\nSee also this one"
    )


def test_signals_count_sentences_of_exactly_the_lines_that_stay() -> None:
    lines = [
        "One here. Two there!",
        "No end to this. It goes",
        "Enable javascript. Do it now.",
        "Is it cited? It is.[3]",
        "The word lorem ipsum stays.",
    ]
    text = "\n".join(lines)
    for settings, name in (
        (C4(), "c4_sentences"),
        (C4(terminal_punctuation=False), "c4_sentences_any_end"),
    ):
        left = c4_lines(text, settings)
        assert signals([text])[name][0] == signals([left])["sentences"][0]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("我爱你。", True),
        ("「我爱你」", True),
        ("他说：“我爱你。”", True),
        ("（见第十二页。）", True),
        ("我爱你", False),
        ("我们走吧……", False),
        ("好。", False),
        ("人" * 2000 + "。", True),
        ("人" * 9 + "x" * 1001 + "。", False),
        ("これは本ですか？", True),
        ("コンピュータ！", True),
        ("यह एक वाक्य है।", True),
        ("هل هذا صحيح يا صديقي؟", True),
        ("یہ ایک جملہ ہے۔", True),
        ("ይህ አንድ ነው።", True),
        ("ይህ፡አንድ፡ነው።", True),
        ("ይህ፡ነው።", False),
        ("བོད་སྐད་ཡིན།", True),
        ("བོད་སྐད་ཡིན་", False),
        ("Սա մեկ նախադասություն է։", True),
        ("He said it “like this”", False),
        ("Some words (and more.)", False),
        ("An interrobang ends this⁈", False),
    ],
)
def test_a_line_ends_and_counts_words_as_its_script_does(line: str, kept: bool) -> None:
    assert c4_lines(line, C4()) == (line if kept else "")
    assert signals([line])["c4_sentences"][0] == (signals([line])["sentences"][0] if kept else 0)


def test_lines_of_languages_without_a_full_stop_may_end_in_anything() -> None:
    line = "มนุษย์ทั้งหลายเกิดมามีอิสระ"
    assert c4_lines(line, C4(), "th") == line
    assert c4_lines(line, C4(any_end_languages=()), "th") == c4_lines(line, C4(), "en") == ""
    assert c4_lines("No end to this", C4(any_end_languages=("en",)), "en") == "No end to this"


def share_of(left: str, text: str) -> float:
    return len("".join(left.split())) / len("".join(text.split()))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("code", "file"),
    [
        *(("zh", "cmn_hans"), ("ja", "jpn"), ("th", "tha"), ("lo", "lao"), ("km", "khm")),
        *(("my", "mya"), ("hi", "hin"), ("ur", "urd"), ("hy", "hye"), ("bo", "bod"), ("ar", "arb")),
        ("am", "amh"),
    ],
)
def test_prose_of_every_script_stays_and_is_counted_alike(
    shared_data: Path, code: str, file: str
) -> None:
    with zipfile.ZipFile(shared_data / "lm/udhr2/udhr2.zip") as archive:
        text, english = (archive.read(f"udhr2/{name}.txt").decode() for name in (file, "eng"))
    left = c4_lines(text, C4(), code)
    assert share_of(left, text) > 0.85 * share_of(c4_lines(english, C4()), english)
    name = "c4_sentences_any_end" if code in C4().any_end_languages else "c4_sentences"
    assert signals([text], [code])[name][0] == signals([left], [code])["sentences"][0]
