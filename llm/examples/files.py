"""Examples of the user's own: rows of JSON lines, JSON, Parquet, CSV and TSV files."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llm.corpus.rows.by_ending import numbered_rows
from llm.corpus.rows.json_lines import BadRow, parse, whole_value
from llm.corpus.rows.units import unit
from llm.corpus.sources.names import short_names
from llm.examples.bad_rows import BadRows
from llm.examples.fields import cells_of
from llm.examples.settings import ExampleSettings
from llm.examples.shards import Example
from llm.examples.split import write
from llm.step import BadInput, Context, Inputs, StepResult

INPUTS = {"train": "files", "validation": "validation", "test": "test"}
"""What the files of each split are called among the step's inputs."""


def read(values: ExampleSettings, inputs: Inputs, context: Context) -> StepResult:
    """Take over the examples of `inputs["files"]`: train.arrow and validation.arrow.

    An example without a `url` is held out by its question, so that one that is asked twice is never
    on both sides. inputs["validation"], ["test"]: files of splits that the user made, which are taken as
    they are. Raises BadInput naming the file and the line that is wrong, where too many rows are.
    """
    paths = {split: list(inputs.get(name, ())) for split, name in INPUTS.items()}
    sizes = {path: path.stat().st_size for group in paths.values() for path in group}
    before = dict(zip(sizes, itertools.accumulate(sizes.values(), initial=0), strict=False))
    bad = BadRows(values.bad_rows)

    def examples(split: str) -> Iterator[Example]:
        group = paths[split]
        for path, name in zip(group, short_names(group), strict=True):

            def tell(done: int, start: int = before[path]) -> None:
                context.report.progress(start + done, sum(sizes.values()), "bytes")

            yield from read_file(path, values, name, tell, bad)
        bad.check()

    given = {split: examples(split) for split in INPUTS if split != "train" and paths[split]}
    result = write(examples("train"), values, context, given=given, bad=lambda: bad.count)
    bad.tell(context)
    return result


def read_file(
    path: Path,
    values: ExampleSettings,
    name: str = "",
    tell: Callable[[int], None] = lambda done: None,
    bad: BadRows | None = None,
) -> Iterator[Example]:
    """The examples of a file, which people know by `name`.

    bad: told of rows that are left out; without it the first raises BadInput naming file and line.
    """
    name = name or path.name
    bad = bad or BadRows(0.0)
    header = not any(isinstance(column.field, int) for column in values.columns)
    for number, row in rows(path, name, tell, header):
        try:
            if isinstance(row, BadInput):
                raise row
            cells = cells_of(row, values.columns)
        except BadInput as error:
            bad.add(name, unit(path), number, str(error))
            continue
        bad.good += 1
        yield Example(cells, address(row), name, number)


def addresses(path: Path) -> Iterator[str]:
    """The addresses of a file's rows; those that are no objects, or have none, are passed over."""
    for _, row in rows(path):
        if not isinstance(row, BadInput) and (found := address(row)):
            yield found


def rows(
    path: Path,
    name: str = "",
    tell: Callable[[int], None] = lambda done: None,
    header: bool = True,
) -> Iterator[tuple[int, Mapping[Any, Any] | BadInput]]:
    """The rows of a file by line or item, and of those that are no objects what is wrong with them.

    header: as in `numbered_rows`. Raises BadInput for a file that cannot be read.
    """
    for number, row in numbered_rows(path, tell, header):
        try:
            if isinstance(row, str):
                row = parse(row)
            if isinstance(row, BadRow):
                raise row
            if not isinstance(row, Mapping):
                raise BadInput(f"the row must be an object with fields, not {type(row).__name__}")
        except (BadRow, BadInput) as error:
            said = error.details if isinstance(error, BadRow) else str(error)
            hint = "; put one object on each line" if "valid JSON" in said else ""
            yield number, BadInput(f"{said}{hint}")
        else:
            yield number, whole_value(row)


def address(row: Mapping[Any, Any]) -> str:
    """A row's `url`; "" where it has none."""
    url = row.get("url")
    return url if isinstance(url, str) else ""
