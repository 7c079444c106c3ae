"""C4's lines: which stay, by the rules of its paper and of the code that made it."""

import pytest

from llm.corpus.presets import C4
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
