"""The counts that tests of growth go by: a quadratic pass is seen, a linear one is not one."""

import sys

import pytest

from tests.growth import work

QUADRATIC = r"(\w+)!"
LINEAR = r"\w{1,9}!"


def test_a_pattern_that_goes_back_over_the_text_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    module = sys.modules[__name__]
    for source, least, most in ((QUADRATIC, 14, 17), (LINEAR, 3, 5)):
        monkeypatch.setattr(module, "PATTERN", re.compile(source), raising=False)
        small, large = (
            work(lambda text: PATTERN.search(text), "a" * size, (module,))  # type: ignore[name-defined]  # noqa: F821
            for size in (100, 400)
        )
        assert least <= large / small <= most


def test_a_loop_that_copies_is_seen() -> None:
    def copies(text: str) -> int:
        return sum(len(text[:at]) for at in range(len(text)))

    small, large = (work(copies, "a" * size, ()) for size in (100, 400))
    assert 14 <= large / small <= 17
