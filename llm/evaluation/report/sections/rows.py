"""What models were tuned on, as the step prove read it: rows in colours, and where every token went."""

from collections.abc import Iterator, Mapping
from typing import Any

from llm.evaluation.report.inputs import read_json, tuned
from llm.evaluation.report.settings import ReportValues
from llm.evaluation.section import Row, Rows, Section, Stretch
from llm.step import Inputs
from llm.words import counted

COUNTS, SHOWN = "proof.json", "shown.json"


def show(values: ReportValues, inputs: Inputs) -> Iterator[Section]:
    """A section for each tuned model."""
    for name, folder in tuned(values, inputs, "proof"):
        rows = [_row(one) for one in read_json(folder / SHOWN)["rows"]]
        counts = read_json(folder / COUNTS)["splits"]["train"]
        yield Section(f"Rows of {name}", _note(counts), parts=[Rows(rows)], wide=True)


def _note(counts: Mapping[str, Any]) -> str:
    """Where every token went."""
    examples = counted(counts["examples"] + counts["left_out"], "example")
    # Of texts no token is trained, but what is to be said of them.
    trained = f"{counts['trained']:,} trained, " if counts["trained"] else ""
    said = (
        f"{counted(counts['tokens'], 'token')} of {examples}: {trained}{counts['masked']:,} masked, "
        f"{counts['dropped']:,} dropped"
    )
    lost = [
        f"{counted(counts[what], 'example')} {words}"
        for what, words in (("cut", "cut"), ("left_out", "left out"))
        if counts[what]
    ]
    if lost:
        said += f" ({', '.join(lost)}; left-out.jsonl of the step prove names file and line)"
    return (
        f"{said}. The text of {counted(counts['compared'], 'example')} was compared with what is trained. Some "
        "rows, as training reads them:"
    )


def _row(row: Mapping[str, Any]) -> Row:
    examples = [
        (one["place"], [Stretch(kind, text) for kind, text in one["pieces"]])
        for one in row["examples"]
    ]
    return Row(f"Row {row['row']}", examples, row["more"])
