"""The step that reads a data set of the Hugging Face hub, or a folder laid out like one, streaming."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from llm import located
from llm.corpus.archive.pages import Page
from llm.corpus.archive.warc import write_pages
from llm.corpus.sources.files import field_of, file_url, web_address
from llm.corpus.sources.hub_settings import HubSource
from llm.corpus.sources.progress import PieceStore
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = ("datasets",)

_BATCH = 500
_ROWS = "rows"
# What `datasets` and Arrow raise for what is not there or cannot be read.
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, httpx.TransportError)
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

    Rows without text are counted in failures.parquet by number; of a damaged shard, what comes after
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
        rows, _ = _state(store)
        return write_pages(store, context, values.shard_bytes, {"rows": rows})
    finally:
        store.close()


def _read_rows(values: HubSource, store: PieceStore, context: Context) -> None:
    """Read batch after batch; with each, the place in the stream is noted."""
    done, place = _state(store)
    try:
        stream = _open(values)
        if place:
            stream.load_state_dict(place)
        rows = islice(iter(stream), _left(values, done))
        while True:
            batch, damage = _take(rows)
            if damage is None and not batch:
                return
            with store.transaction():
                for number, row in enumerate(batch, start=done + 1):
                    _keep(store, row, number, values)
                done += len(batch)
                place = stream.state_dict()
                if damage is not None:
                    shard, place = _after_shard(place, damage)
                    where = file_url(f"{_name(values)}/shard-{shard}")
                    store.fail(where, f"damaged: shard {shard} after row {done}: {_said(damage)}")
                store.mark(_ROWS, json.dumps([done, place]))
            if damage is not None:
                stream = _open(values)
                stream.load_state_dict(place)
                rows = islice(iter(stream), _left(values, done))
            context.report.progress(done, values.max_documents, "rows")
    except BadInput:
        raise
    except _UNREADABLE as error:
        if _is_passing(error):
            raise ConnectionError(f"{values.dataset} cannot be reached: {error}") from error
        said = _said(error)
        raise BadInput(
            f"the data set {located.written(values.dataset)!r} cannot be read after row {done}: {said}"
        ) from error


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
        # Where a stream cuts Arrow's batches anew, what it has of the old ones is left behind.
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


def _state(store: PieceStore) -> tuple[int, Any]:
    """How many rows are in, and where the stream goes on."""
    note = store.note(_ROWS)
    if note is None:
        return 0, None
    done, place = json.loads(note)
    return done, place


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


def _keep(store: PieceStore, row: Mapping[str, Any], number: int, values: HubSource) -> None:
    place = f"{_name(values)}#{number}"
    texts = [text for text in _texts(row, values.columns) if text.strip()]
    if not texts:
        store.fail(file_url(place), f"no_text: no text in {', '.join(values.columns)}")
        return
    data = "\n\n".join(texts).encode("utf-8", "replace")
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


def _texts(row: Mapping[str, Any], columns: tuple[str, ...]) -> Iterator[str]:
    for column in columns:
        value = field_of(row, column)
        if isinstance(value, str):
            yield value


def _name(values: HubSource) -> str:
    """The split's name in addresses and positions."""
    name = Path(values.dataset).name if values.is_local else values.dataset
    revision = f"@{values.revision[:12]}" if values.revision and not values.is_local else ""
    return "/".join(part for part in (name + revision, values.config, values.split) if part)
