"""What a source of web archives is set to."""

from typing import Literal

from llm.corpus.archive.remote_settings import RemoteSettings
from llm.corpus.sources.addresses import is_address
from llm.corpus.web.login import check_headers
from llm.settings import section, setting


@section
class WarcSource:
    """Web archives: files of the user's own, addresses, or a list of either."""

    type: Literal["warc"] = setting(default="warc", description="Kind of source: warc.")
    path: str | None = setting(
        default=None,
        description="A file, a folder, a pattern such as crawl/**/*.warc.gz, or the address of a "
        "file (https://...). WARC, WET or ARC (plain, gzip, zstd, lz4).",
        path="file",
        min_length=1,
    )
    list: str | None = setting(
        default=None,
        description="Instead of path: a file or an address that lists archives, such as Common "
        "Crawl's warc.paths.gz: a path a line, or JSON with filename, offset and length.",
        path="file",
        min_length=1,
    )
    base: str | None = setting(
        default=None,
        description="What the list's paths are relative to, such as https://data.commoncrawl.org/; "
        "none: the folder that the list is in.",
        path="file",
        min_length=1,
    )
    max_files: int | None = setting(
        default=None,
        description="First entries of the list that are read (count); none: all.",
        gt=0,
    )
    max_records: int | None = setting(
        default=None, description="Pages after which reading ends (count); none: no limit.", gt=0
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
    read_again: Literal["never", "snapshot"] = setting(
        default="never",
        description="When addresses are read again: never, as published archives do not change, or "
        "for each snapshot.",
    )
    remote: RemoteSettings = setting(default=RemoteSettings, description="How addresses are read.")
    headers: dict[str, str] = setting(
        default=dict,
        description="Headers that let the reader in, for the hosts of path, list and base only; each names "
        "an environment variable: {Authorization: 'Bearer env:ARCHIVE_TOKEN'}.",
    )

    def __post_init__(self) -> None:
        check_headers(self.headers)
        if self.headers and not self.is_remote:
            raise ValueError("headers go with addresses: path, list and base name files here")
        if (self.path is None) == (self.list is None):
            raise ValueError("name either path or list")
        if self.base is not None and self.list is None:
            raise ValueError("base goes with list")
        if self.list and is_address(self.list) and not (self.base and is_address(self.base)):
            raise ValueError(
                "a list on a web server needs the base address that its paths are relative to, such "
                "as https://data.commoncrawl.org/"
            )

    @property
    def is_remote(self) -> bool:
        """Whether anything of it may lie on a web server."""
        return any(is_address(place) for place in (self.path, self.list, self.base) if place)
