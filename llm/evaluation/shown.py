"""What several suites show alike: a model's figures in a table, and how they were measured."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llm.evaluation.section import Table

if TYPE_CHECKING:
    from llm.evaluation.result import Result


def figures_table(
    name: str, result: "Result", digits: int = 3, more: Iterable[tuple[str, float | None]] = ()
) -> Table:
    """A line for each figure, with its interval; more: figures without one, those that there are."""
    cells = [
        [one.unit, f"{one.value:.{digits}f}", f"± {one.spread:.{digits}f}" if one.spread else ""]
        for one in result.figures.values()
    ]
    cells += [[said, f"{value:.{digits}f}", ""] for said, value in more if value is not None]
    return Table([name, "", "95 % interval"], cells)


def protocol_note(result: "Result") -> str:
    """How a result was measured, as a sentence."""
    return f"{result.protocol[0].upper()}{result.protocol[1:]}."
