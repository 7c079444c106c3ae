"""A host is never asked faster than it was told, and not faster after an error."""

import asyncio

from llm.corpus.web.pace import Pace


def run(steps: list[tuple[float, bool | None]], pace: Pace) -> list[float]:
    """The pause after each step: (seconds of an answer, good), None: the host struggled."""

    async def go() -> list[float]:
        found = []
        for seconds, good in steps:
            if good is None:
                pace.struggled()
            else:
                pace.answered(seconds, good)
            found.append(pace.pause_seconds)
        return found

    return asyncio.run(go())


def test_the_pause_is_never_below_what_was_asked_for() -> None:
    assert set(run([(0.001, True)] * 20, Pace(0.5, latency_factor=1.0))) == {0.5}


def test_errors_never_speed_up_and_trouble_slows_down() -> None:
    pace = Pace(0.5)
    pauses = run([(0, None), (0.001, False), (0.001, False), (0, None), (0, None)], pace)
    assert pauses == [1.0, 1.0, 1.0, 2.0, 4.0]
    recovery = run([(0.001, True)] * 12, pace)
    assert recovery == sorted(recovery, reverse=True)
    assert recovery[0] > 3
    assert recovery[-1] == 0.5


def test_trouble_has_an_end_and_a_longer_delay_stands() -> None:
    assert max(run([(0, None)] * 30, Pace(0.5, longest_seconds=8.0))) == 8.0
    assert run([(0, None)], Pace(20.0, longest_seconds=8.0)) == [20.0]


def test_slow_answers_make_long_pauses_and_quick_errors_do_not_shorten_them() -> None:
    pace = Pace(0.1, latency_factor=2.0)
    slow = run([(1.0, True)] * 5, pace)
    assert slow[-1] == 2.0
    assert run([(0.001, False)] * 5, pace) == [2.0] * 5
    quick = run([(0.01, True)] * 30, pace)
    assert quick == sorted(quick, reverse=True)
    assert quick[-1] == 0.1


def test_without_a_pause_trouble_makes_one_and_calm_takes_it_away() -> None:
    pace = Pace(0.0)
    assert run([(0.5, True)], pace) == [0.0]
    assert run([(0, None)], pace)[0] > 0
    assert run([(0.01, True)] * 20, pace)[-1] == 0.0
