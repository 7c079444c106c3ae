"""Rows of Arrow files, as `datasets` saves them, and what `datasets` says of columns in their schemas."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa

from llm.corpus.rows.json_lines import BadRow

LIBRARIES = ("pyarrow",)

ENDINGS = (".arrow", ".feather")
FEATURES = (
    b"huggingface"  # the key of the schema's metadata under which `datasets` says its features
)


def arrow_rows(raw: BinaryIO) -> Iterator[Any | BadRow]:
    """The rows of a file in Arrow's stream or file format, as mappings.

    A row that Python cannot hold comes as BadRow. Raises pyarrow's errors for a damaged file.
    """
    begins = raw.read(6)
    raw.seek(0)
    reader = pa.ipc.open_file(raw) if begins == b"ARROW1" else pa.ipc.open_stream(raw)
    with reader:
        names = class_names(reader.schema)
        batches = (
            (reader.get_batch(number) for number in range(reader.num_record_batches))
            if isinstance(reader, pa.RecordBatchFileReader)
            else reader
        )
        for batch in batches:
            yield from rows_of(batch, names)


def rows_of(batch: pa.RecordBatch, classes: Mapping[str, Sequence[str]]) -> Iterator[Any | BadRow]:
    """A batch's rows; classes: the names of whole numbers, by column (see `class_names`)."""
    names = batch.schema.names
    for number in range(batch.num_rows):
        try:
            row = {
                name: column[number].as_py()
                for name, column in zip(names, batch.columns, strict=True)
            }
        except UnicodeDecodeError:
            yield BadRow("damaged", "not UTF-8")
        except ValueError as error:
            yield BadRow("damaged", str(error))
        else:
            for name in classes.keys() & row.keys():
                row[name] = _named(row[name], classes[name])
            yield row


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of classes that a set keeps as whole numbers, by column (`datasets.ClassLabel`)."""
    try:
        told = json.loads((schema.metadata or {}).get(FEATURES, b"{}"))
        features = told["info"]["features"]
        return {
            name: _class_names(feature)
            for name, feature in features.items()
            if _class_names(feature)
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # others may use the key for something else


def _class_names(feature: Any) -> list[str]:
    """Of one class, or of a list of them."""
    if isinstance(feature, list):
        feature = feature[0]
    if isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List"):
        feature = feature["feature"]
    label = isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    found: list[str] = feature.get("names") or [] if label else []
    return found


def _named(cell: Any, names: Sequence[str]) -> Any:
    """A class, or each of several, by its name; -1 is none, as sets without labels have it."""
    if isinstance(cell, list):
        return [_named(one, names) for one in cell]
    if not isinstance(cell, int) or not -1 <= cell < len(names):
        return cell
    return names[cell] if cell >= 0 else None
