"""Examples of the user's own: rows of JSON lines, JSON, Parquet, CSV and TSV files."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llm.corpus.rows.by_ending import numbered_rows
from llm.corpus.rows.json_lines import BadRow, parse, whole_value
from llm.corpus.rows.units import unit
from llm.corpus.sources.names import short_names
from llm.examples.columns import TYPES
from llm.examples.settings import ExampleSettings
from llm.examples.shards import Example
from llm.examples.split import write
from llm.step import BadInput, Context, Inputs, StepResult


def read(values: ExampleSettings, inputs: Inputs, context: Context) -> StepResult:
    """Take over the examples of `inputs["files"]`: train.arrow and validation.arrow.

    An example without a `url` is held out by its question, so that one that is asked twice is never
    on both sides. Raises BadInput naming the file and the line that is wrong.
    """
    paths = list(inputs["files"])
    sizes = [path.stat().st_size for path in paths]
    before = [sum(sizes[:number]) for number in range(len(paths))]

    def examples() -> Iterator[Example]:
        for path, name, start in zip(paths, short_names(paths), before, strict=True):

            def tell(done: int, start: int = start) -> None:
                context.report.progress(start + done, sum(sizes), "bytes")

            yield from read_file(path, values, name, tell)

    return write(examples(), values, context)


def read_file(
    path: Path,
    values: ExampleSettings,
    name: str = "",
    tell: Callable[[int], None] = lambda done: None,
) -> Iterator[Example]:
    """The examples of a file, which people know by `name`. Raises BadInput naming file and line."""
    name = name or path.name
    for number, row in mappings(path, name, tell):
        try:
            cells = tuple(TYPES[column.type].read(row, column.name) for column in values.columns)
        except BadInput as error:
            raise BadInput(f"{name}, {unit(path)} {number}: {error}") from None
        yield Example(cells, address(row), name, number)


def mappings(
    path: Path, name: str = "", tell: Callable[[int], None] = lambda done: None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a file by line or item; a file of another ending is read as JSON lines.

    Raises BadInput naming the file (by `name`, or its own) and the line of one that is no object.
    """
    for number, row in numbered_rows(path, tell):
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
            where = f"{name or path.name}, {unit(path)} {number}"
            raise BadInput(f"{where}: {said}{hint}") from None
        yield number, whole_value(row)


def address(row: Mapping[str, Any]) -> str:
    """A row's `url`; "" where it has none."""
    url = row.get("url")
    return url if isinstance(url, str) else ""
