"""What a source of own code is set to."""

from typing import Any, Literal

from llm.corpus.hooks_settings import check_name
from llm.settings import section, setting


@section
class HookSource:
    """Documents that a function of the user's own yields."""

    type: Literal["hook"] = setting(default="hook", description="Kind of source: hook.")
    function: str = setting(
        description="module:function; it yields mappings with url and text, or url and html (bytes).",
        path="module",
    )
    options: dict[str, Any] = setting(
        default=dict, description="Arguments of the function, by name (plain values)."
    )
    path: str | None = setting(
        default=None,
        description="Files that the function reads (a file, a folder or a pattern): it gets them as "
        "`paths`, and is run again when they change.",
        path="file",
        min_length=1,
    )
    read_again: Literal["never", "snapshot"] = setting(
        default="never",
        description="When the function is run again though neither it, its options nor its files "
        "changed: never, or for each snapshot.",
    )
    max_documents: int | None = setting(
        default=None, description="Documents that are taken (count); none: all.", gt=0
    )
    max_document_bytes: int = setting(
        default=50_000_000, description="Larger documents are left out (bytes).", gt=0
    )
    shard_bytes: int = setting(
        default=32_000_000,
        description="Mean size of a shard of the result (bytes of pages, uncompressed).",
        gt=0,
    )

    def __post_init__(self) -> None:
        check_name(self.function)
