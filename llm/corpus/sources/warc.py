"""The step that reads the user's own web archives."""

from typing import Literal

from llm.corpus.archives import Bad, read_archive
from llm.corpus.pages import PageStore
from llm.corpus.sources.files import short_names
from llm.corpus.warc import write_pages
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult


@section
class WarcSource:
    """Web archives of the user's own."""

    type: Literal["warc"] = setting(default="warc", description="Kind of source: warc.")
    path: str = setting(
        description="A file, a folder, or a pattern such as crawl/**/*.warc.gz. WARC (plain, gzip, "
        "zstd, lz4) or ARC (plain, gzip).",
        min_length=1,
    )
    max_page_bytes: int = setting(
        default=10_000_000,
        description="Larger pages are left out (bytes, after decompression).",
        gt=0,
    )
    shard_bytes: int = setting(
        default=32_000_000,
        description="Mean size of a shard of the result (bytes of pages, uncompressed).",
        gt=0,
    )


def read(values: WarcSource, inputs: Inputs, context: Context) -> StepResult:
    """Read the pages in `inputs["files"]` into WARC shards of our own.

    Bad records are counted in failures.parquet with file, offset and reason; raises BadInput only
    when there is no good one.
    """
    paths = list(inputs["files"])
    store = PageStore.fresh(context.work / "warc.sqlite")
    try:
        total = sum(path.stat().st_size for path in paths)
        done = 0
        for path, name in zip(paths, short_names(paths), strict=True):
            with store.transaction():
                for number, page in enumerate(read_archive(path, values.max_page_bytes)):
                    if isinstance(page, Bad):
                        place = f"at byte {page.offset} of {name}"
                        reason, _, detail = page.reason.partition(": ")
                        said = f"{reason}: {place}" + (f": {detail}" if detail else "")
                        store.fail(page.url or f"file:///{name}", said)
                    else:
                        store.add(page)
                    if number % 100 == 0:
                        context.report.progress(done, total, "bytes")
            done += path.stat().st_size
            context.report.progress(done, total, "bytes")
        if not store.totals()[0]:
            reasons = "; ".join(f"{url}: {reason}" for url, reason in store.failures()[:3])
            raise BadInput(f"no page in {values.path!r} can be read. {reasons}")
        return write_pages(store, context, values.shard_bytes, {"files": len(paths)})
    finally:
        store.close()
