"""What a source of own files is set to."""

from typing import Literal

from llm.settings import section, setting


@section
class FilesSource:
    """Files of the user's own: rows of JSON lines, Parquet and tables, plain text, dumps of wikis."""

    type: Literal["files"] = setting(default="files", description="Kind of source: files.")
    path: str = setting(
        description="A file, a folder, or a pattern such as archive/**/*.jsonl.zst. Endings: jsonl, "
        "ndjson, parquet, arrow, csv, tsv, txt, md, rst, xml (a wiki's dump, such as Wikipedia's pages-articles); all but "
        "parquet also with .gz, .bz2, .zst or .xz.",
        path="file",
        min_length=1,
    )
    text: str | int = setting(
        default="text",
        description="Field of a row that holds the text; dots lead into nested ones. Of a table without a header, "
        "the place of the cell (from 1).",
    )
    url: str | None = setting(
        default="url",
        description="Field of a row with the document's address, where there is one; none: not used.",
    )
    id: str | None = setting(
        default=None,
        description="Field of a row that names the document where it has no address; none: row number.",
    )
    namespaces: tuple[int, ...] = setting(
        default=(0,),
        description="Namespaces of a wiki's dump that are read (numbers; 0: articles).",
    )
    max_document_bytes: int = setting(
        default=50_000_000, description="Larger documents and lines are left out (bytes).", gt=0
    )
    shard_bytes: int = setting(
        default=32_000_000,
        description="Mean size of a shard of the result (bytes of text, uncompressed).",
        gt=0,
    )
