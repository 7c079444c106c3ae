"""The step that reads a data set of the Hugging Face hub, or a folder laid out like one, streaming."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import httpx

from llm import located
from llm.corpus.archive.endings import inner_name
from llm.corpus.archive.packed import BROKEN, lines
from llm.corpus.archive.pages import Page
from llm.corpus.archive.warc import write_pages
from llm.corpus.rows.json_lines import BadRow, json_lines, whole
from llm.corpus.rows.parquet import parquet_rows
from llm.corpus.rows.tables import table_rows
from llm.corpus.sources.files import field_of, file_url, web_address
from llm.corpus.sources.hub_settings import HubSource
from llm.corpus.sources.progress import PieceStore
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = ("datasets", "pyarrow")

_BATCH = 500
_ROWS = "rows"
# Endings of files that are read here.
_READ_HERE = (".jsonl", ".ndjson", ".jsonlines", ".json", ".parquet", ".csv", ".tsv", ".txt")
# What `datasets` and Arrow raise for what is not there or cannot be read.
_UNREADABLE = (*BROKEN, ValueError, KeyError, RuntimeError, csv.Error, httpx.TransportError)
_CUTS = ("batch_idx", "num_chunks_since_previous_state", "cropped_chunk_length")


def local_folder(values: HubSource) -> Path | None:
    """The folder of the user's own that is read, None for the hub's. Raises BadInput if missing."""
    if not values.is_local:
        return None
    folder = Path(values.dataset).expanduser()
    if not folder.is_dir():
        raise BadInput(f"there is no folder {located.where(values.dataset)}")
    return folder


def read(values: HubSource, inputs: Inputs, context: Context) -> StepResult:
    """Read the rows of a split into WARC shards of conversion records, one a document.

    Rows without text, or with something else than text in a column that should hold some, are
    counted in failures.parquet by number; `without` counts the rows that have nothing in a column. Of a damaged shard, what comes after
    the damage is left out, and counted. Killed and run again, it goes on
    after the last batch. Raises BadInput for a data set, split or column that is not there, and
    ConnectionError when the hub cannot be reached.
    """
    store = PieceStore(context.work / "hub.sqlite", context.machine.takedown)
    try:
        _read_rows(values, store, context)
        if not store.totals()[0]:
            reasons = "; ".join(f"{url}: {reason}" for url, reason in store.failures()[:3])
            raise BadInput(
                f"no row of {located.written(values.dataset)!r} gives a document. {reasons}"
            )
        state = _state(store)
        counts: dict[str, Any] = {"rows": state.done}
        if len(values.columns) > 1 and state.without:
            counts["without"] = dict(sorted(state.without.items()))
        return write_pages(store, context, values.shard_bytes, counts)
    finally:
        store.close()


def _read_rows(values: HubSource, store: PieceStore, context: Context) -> None:
    """Read batch after batch; with each, the place in the data set is noted."""
    state = _state(store)
    try:
        files = _data_files(values)
        if files is None:
            _read_stream(values, store, context, state)
            return
        # What `datasets` makes of text tables and JSON is not what stands there: strings that look
        # like numbers or dates become some, and a column's type is guessed from its first rows.
        at, row = state.place or (0, 0)
        for number in range(at, len(files)):
            with fsspec.open(files[number], "rb") as raw:
                rows = islice(_rows(raw, files[number], values), row, None)
                row = _read_file(values, store, context, state, number, row, rows)
            if values.max_documents is not None and state.done >= values.max_documents:
                return
            row = 0
    except BadInput:
        raise
    except _UNREADABLE as error:
        if _is_passing(error):
            raise ConnectionError(f"{values.dataset} cannot be reached: {error}") from error
        said = _said(error)
        raise BadInput(
            f"the data set {values.dataset!r} cannot be read after row {state.done}: {said}"
        ) from error


def _read_file(
    values: HubSource,
    store: PieceStore,
    context: Context,
    state: "_State",
    number: int,
    row: int,
    rows: Iterator[Any],
) -> int:
    """Read a file from its row `row` on. Returns the rows that are read of it."""
    while True:
        batch, damage = _take(islice(rows, _left(values, state.done)))
        if not state.done:
            _check_columns(batch, values)
        with store.transaction():
            for one in batch:
                state.done += 1
                _keep(store, one, state.done, values, state.without)
            row += len(batch)
            state.place = (number, row)
            if damage is not None:
                where = file_url(f"{_name(values)}/shard-{number}")
                said = f"damaged: shard {number} after row {state.done}: {_said(damage)}"
                store.fail(where, said)
                state.place = (number + 1, 0)
            store.mark(_ROWS, state.packed())
        context.report.progress(state.done, values.max_documents, "rows")
        if damage is not None or len(batch) < _BATCH:
            return row


def _check_columns(batch: list[Any], values: HubSource) -> None:
    """Raise BadInput where the first rows have none of the columns with text."""
    there = dict.fromkeys(name for row in batch if isinstance(row, dict) for name in row)
    tops = [name if name in there else name.split(".")[0] for name in values.columns]
    if there and not any(name in there for name in tops):
        raise BadInput(
            f"{values.dataset!r} has no column {tops[0]!r}; there are: {', '.join(there)}"
        )


def _data_files(values: HubSource) -> list[str] | None:
    """The files of the split, where all are of kinds that are read here. Raises BadInput."""
    import datasets  # takes seconds to import, and only this source needs it

    folder = local_folder(values)
    revision = None if folder else values.revision
    builder = datasets.load_dataset_builder(
        str(folder or values.dataset), values.config, revision=revision
    )
    by_split = builder.config.data_files or {}
    found = [str(path) for path in by_split.get(values.split, [])]
    if not all(inner_name(path).endswith(_READ_HERE) for path in found):
        return None
    if not found and by_split:
        raise BadInput(f"Bad split: {values.split}. Available splits: {sorted(map(str, by_split))}")
    return found or None


def _rows(raw: BinaryIO, name: str, values: HubSource) -> Iterator[Any | BadRow]:
    """The rows of a file as they stand there."""
    inner = inner_name(name)
    limit = values.max_document_bytes
    if inner.endswith(".parquet"):
        fields = [*values.columns, *([values.url] if values.url else [])]
        yield from parquet_rows(raw, {*fields, *(field.split(".")[0] for field in fields)})
    elif inner.endswith((".csv", ".tsv")):
        yield from (row for _, row in table_rows(raw, name, limit))
    elif inner.endswith(".txt"):
        for line in lines(raw, name, limit):
            over = BadRow("too_large", f"over {limit} bytes")
            yield over if line is None else {"text": line.decode("utf-8").rstrip("\r\n")}
    else:
        for number, row in json_lines(raw, name, limit):
            if number == 1 and isinstance(row, list):
                yield from row
            else:
                yield row


def _read_stream(values: HubSource, store: PieceStore, context: Context, state: "_State") -> None:
    """Read a split of another kind through `datasets`, which knows the types of its columns."""
    stream = _open(values)
    if state.place:
        stream.load_state_dict(state.place)
    rows = islice(iter(stream), _left(values, state.done))
    while True:
        batch, damage = _take(rows)
        if damage is None and not batch:
            return
        with store.transaction():
            for number, row in enumerate(batch, start=state.done + 1):
                _keep(store, row, number, values, state.without)
            state.done += len(batch)
            state.place = stream.state_dict()
            if damage is not None:
                shard, state.place = _after_shard(state.place, damage)
                where = file_url(f"{_name(values)}/shard-{shard}")
                said = f"damaged: shard {shard} after row {state.done}: {_said(damage)}"
                store.fail(where, said)
            store.mark(_ROWS, state.packed())
        if damage is not None:
            stream = _open(values)
            stream.load_state_dict(state.place)
            rows = islice(iter(stream), _left(values, state.done))
        context.report.progress(state.done, values.max_documents, "rows")


def _take(rows: Iterator[Any]) -> tuple[list[Any], Exception | None]:
    """The next rows, and what ended them early where their shard is damaged."""
    batch: list[Any] = []
    try:
        for row in islice(rows, _BATCH):
            batch.append(row)
    except _UNREADABLE as error:
        if _is_passing(error):
            raise
        return batch, error
    return batch, None


def _after_shard(state: Any, damage: Exception) -> tuple[int, Any]:
    """The shard (a file, as a rule) that a stream was in, from 0, and its state at the next one's start."""

    def moved(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        if item.get("shard_idx") is not None:
            return {**item, "shard_idx": shard_of(state) + 1, "shard_example_idx": 0}
        new = {key: moved(value) for key, value in item.items()}
        # Where a stream cuts Arrow's batches again, what it has of the old ones is left behind.
        if "previous_state" in new:
            new["previous_state"] = None
        return {key: 0 if key in _CUTS else value for key, value in new.items()}

    def shard_of(item: Any) -> int:
        inner = item.get("examples_iterable")
        return int(item["shard_idx"] if inner is None else shard_of(inner))

    try:
        return shard_of(state), moved(state)
    except (KeyError, TypeError):
        raise damage from None  # a stream that tells of no shards


def _is_passing(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, is the network's or a busy server's: another try may do."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None and (status == 429 or status >= 500):
            return True
        if isinstance(error, ConnectionError | TimeoutError | httpx.TransportError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _said(error: BaseException) -> str:
    """What an error says, and the one behind it, which names what is damaged."""
    whole = f"{error} ({error.__cause__})" if error.__cause__ is not None else str(error)
    return " ".join(whole.split())


@dataclass
class _State:
    """done: rows that are in. place: where to go on. without: rows by column that had no text there."""

    done: int = 0
    place: Any = None
    without: Counter[str] = field(default_factory=Counter)

    def packed(self) -> str:
        return json.dumps([self.done, self.place, self.without])


def _state(store: PieceStore) -> _State:
    note = store.note(_ROWS)
    if note is None:
        return _State()
    done, place, without = json.loads(note)
    return _State(done, place, Counter(without))


def _left(values: HubSource, done: int) -> int | None:
    return None if values.max_documents is None else max(0, values.max_documents - done)


def _open(values: HubSource) -> Any:
    """The split as a stream of the wanted columns."""
    import datasets  # takes seconds to import, and only this source needs it

    folder = local_folder(values)
    stream = datasets.load_dataset(
        str(folder or values.dataset),
        values.config,
        split=values.split,
        revision=None if folder else values.revision,
        streaming=True,
    )
    there = stream.column_names
    if there is None:
        return stream
    wanted = [*values.columns, *([values.url] if values.url else [])]
    tops = dict.fromkeys(name if name in there else name.split(".")[0] for name in wanted)
    missing = [name for name in tops if name not in there]
    if missing:
        raise BadInput(
            f"{located.written(values.dataset)!r} has no column {missing[0]!r}; there are: {', '.join(there)}"
        )
    return stream.select_columns(list(tops))


def _keep(
    store: PieceStore, row: Any, number: int, values: HubSource, without: Counter[str]
) -> None:
    place = f"{_name(values)}#{number}"
    if isinstance(row, BadRow):
        store.fail(file_url(place), str(row))
        return
    if not isinstance(row, Mapping):
        store.fail(file_url(place), f"no_text: the row is not an object but {type(row).__name__}")
        return
    texts = []
    for column in values.columns:
        value = field_of(row, column)
        if value is not None and not isinstance(value, str):
            said = f"no_text: column {column!r} is {type(value).__name__}, not text"
            store.fail(file_url(place), said)
            return
        if value is None or not value.strip():
            without[column] += 1
        else:
            texts.append(value)
    if not texts:
        store.fail(file_url(place), f"no_text: no text in {', '.join(values.columns)}")
        return
    data = whole("\n\n".join(texts)).encode()
    if len(data) > values.max_document_bytes:
        store.fail(file_url(place), f"too_large: over {values.max_document_bytes} bytes")
        return
    url = field_of(row, values.url) if values.url else None
    if isinstance(url, str) and url.strip():
        address = web_address(url)
    else:
        address = file_url(place)
    page = Page(address, data, "conversion", content_type="text/plain", position=place)
    store.add(page)


def _name(values: HubSource) -> str:
    """The split's name in addresses and positions."""
    name = Path(values.dataset).name if values.is_local else values.dataset
    revision = f"@{values.revision[:12]}" if values.revision and not values.is_local else ""
    return "/".join(part for part in (name + revision, values.config, values.split) if part)
