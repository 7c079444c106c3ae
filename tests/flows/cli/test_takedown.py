"""What `penstock takedown` tells fits on a screen, and leaves no model out."""

import io

import pytest
from rich.console import Console

from flows.cli.takedown import _print_list
from llm.corpus.erasure.takedown import Takedown


def made(
    step: str, key: str, certain: bool = True, pointer: str | None = None
) -> dict[str, object]:
    return {
        "step": step,
        "key": key * 16,
        "label": "ask-docs" if step == "finetune" else "",
        "at": 1.7e9 - ord(key),
        "certain": certain,
        "runs": ["r1"],
        "pointer": pointer,
    }


@pytest.mark.parametrize("count", [1, 2, 7])
def test_entries_with_the_same_history_are_told_together(count: int) -> None:
    measured = [made("perplexity", chr(ord("a") + n)) for n in range(9)]
    seen = (
        made("tokenizer", "T"),
        made("pretrain", "P", pointer="champion-mine"),
        made("finetune", "F", certain=False),
        *measured,
    )
    entries = [Takedown(f"bad{n}.test", "asked", 1e9, None, seen) for n in range(count)]
    stream = io.StringIO()
    _print_list(Console(file=stream, width=200), entries)
    lines = stream.getvalue().splitlines()
    assert len(lines) == (1 + count) + (1 + 3) + 1
    assert "T" * 12 in lines[-4] and "champion-mine" in lines[-3] and "perhaps" in lines[-2]
    assert ("all of them" in lines[-4]) == (count > 1)
    assert lines[-1].startswith("9 measurements and reports")


def test_a_model_that_saw_one_of_them_is_told_with_it() -> None:
    entries = [
        Takedown("one.test", "", 1e9, None, (made("pretrain", "S"),)),
        Takedown("two.test", "", 1e9, None, (made("pretrain", "S"), made("pretrain", "Q"))),
        Takedown("three.test", "", 1e9),
    ]
    stream = io.StringIO()
    _print_list(Console(file=stream, width=200), entries)
    *_, first, second = stream.getvalue().splitlines()
    assert first.rstrip().endswith("one.test, two.test")
    assert second.rstrip().endswith("two.test") and "one.test" not in second
