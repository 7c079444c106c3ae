"""The step that reads documents which a function of the user's own gives."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm.corpus.archive.pages import Page, PageStore, one_line
from llm.corpus.archive.warc import write_pages
from llm.corpus.hooks import failure, resolve
from llm.corpus.sources.files import expand
from llm.corpus.sources.hook_settings import HookSource
from llm.corpus.sources.progress import PieceStore
from llm.corpus.web.urls import normalise
from llm.located import written
from llm.step import BadInput, Context, Inputs, StepResult

_BATCH = 200
_FIELDS = ("url", "text", "html", "content_type", "fetched_at", "position")


def local_files(values: HookSource) -> list[Path]:
    """The files that the function is given. Raises BadInput where there is none."""
    return expand(values.path) if values.path else []


def identity(values: HookSource, snapshot: str) -> dict[str, str]:
    """What else names the result, besides code, options and files."""
    return {"snapshot": snapshot} if values.read_again == "snapshot" else {}


def read(values: HookSource, inputs: Inputs, context: Context) -> StepResult:
    """Write what the function yields into WARC shards.

    Documents that are of no use are counted in failures.parquet. Raises BadInput when the function
    fails, naming file and line, or gives no document; ConnectionError when that is what it raises.
    """
    function = resolve(values.function)
    options = dict(values.options)
    if values.path:
        options["paths"] = list(inputs["files"])
    store = PieceStore.fresh(context.work / "hook.sqlite", context.machine.takedown)
    try:
        given = 0
        documents = _documents(values.function, function, options)
        for batch in _batches(documents, values.max_documents):
            with store.transaction():
                for number, document in enumerate(batch, start=given + 1):
                    _keep(store, document, number, values)
            given += len(batch)
            context.report.progress(given, values.max_documents, "documents")
        if not store.totals()[0]:
            reasons = "; ".join(f"{url}: {reason}" for url, reason in store.failures()[:3])
            raise BadInput(f"the hook {written(values.function)} gave no document. {reasons}")
        return write_pages(store, context, values.shard_bytes, {"given": given})
    finally:
        store.close()


def _documents(name: str, function: Any, options: Mapping[str, Any]) -> Iterator[Any]:
    """What the function yields; whatever goes wrong in it is told by file and line."""
    try:
        found = iter(function(**options))
    except Exception as error:
        raise failure(name, error) from error
    while True:
        try:
            document = next(found)
        except StopIteration:
            return
        except Exception as error:
            raise failure(name, error) from error
        yield document


def _batches(documents: Iterator[Any], limit: int | None) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for number, document in enumerate(documents, start=1):
        batch.append(document)
        if len(batch) == _BATCH:
            yield batch
            batch = []
        if number == limit:
            break
    yield batch


def _keep(store: PageStore, document: Any, number: int, values: HookSource) -> None:
    name = written(values.function)
    place = f"{name}#{number}"
    page = _page(document, place, name)
    if not page.payload.strip():
        store.fail(page.url, f"empty: document {number} has no text")
    elif len(page.payload) > values.max_document_bytes:
        store.fail(page.url, f"too_large: over {values.max_document_bytes} bytes")
    else:
        store.add(page)


def _page(document: Any, place: str, name: str) -> Page:
    """A document as a page. Raises BadInput for one that is none: the function is at fault."""
    where = f"the hook {name}, document {place.rpartition('#')[2]}"
    if not isinstance(document, Mapping):
        raise BadInput(f"{where} is {type(document).__name__}: yield mappings with url and text")
    unknown = [str(key) for key in document if key not in _FIELDS]
    if unknown:
        raise BadInput(f"{where} has a field {unknown[0]!r}; known are {', '.join(_FIELDS)}")
    url, text, html = (document.get(field) for field in ("url", "text", "html"))
    address = normalise(url) if isinstance(url, str) else None
    if address is None and not (isinstance(url, str) and url.startswith("file:///")):
        raise BadInput(f"{where}: url is {url!r}, not an address (https://... or file:///...)")
    if address is None and url != one_line(str(url)):
        raise BadInput(f"{where}: url is {url!r}: percent-encode its control characters")
    if (text is None) == (html is None):
        raise BadInput(f"{where}: needs either text or html")
    position = str(document.get("position") or place)
    date = _date(document.get("fetched_at"), where)
    address = address or str(url)
    if text is not None:
        if not isinstance(text, str):
            raise BadInput(f"{where}: text is {type(text).__name__}, not str")
        data = text.encode("utf-8", "replace")
        return Page(address, data, "conversion", 200, "text/plain", {}, date, position=position)
    if not isinstance(html, bytes | str):
        raise BadInput(f"{where}: html is {type(html).__name__}, not bytes")
    data = html if isinstance(html, bytes) else html.encode("utf-8", "replace")
    kind = "text/html" if isinstance(html, bytes) else "text/html; charset=utf-8"
    content_type = str(document.get("content_type") or kind)
    if content_type != one_line(content_type):
        raise BadInput(f"{where}: content_type is {content_type!r}, which no header may hold")
    headers = {"Content-Type": content_type}
    return Page(address, data, "response", 200, content_type, headers, date, position=position)


def _date(value: Any, where: str) -> str:
    """When a document was fetched, as WARC writes it (UTC)."""
    if value is None:
        return Page.fetched_at
    try:
        moment = (
            value
            if isinstance(value, datetime.datetime)
            else datetime.datetime.fromisoformat(str(value))
        )
    except ValueError:
        raise BadInput(f"{where}: fetched_at is {value!r}, not ISO 8601") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
