"""What a source from the Hugging Face hub is set to."""

import re
from typing import Literal

from llm.settings import section, setting

_COMMIT = re.compile(r"[0-9a-f]{40}")


_LOCAL = ("/", "./", "../", "~")


@section
class HubSource:
    """A data set of the Hugging Face hub, or a folder laid out like one."""

    type: Literal["hub"] = setting(default="hub", description="Kind of source: hub.")
    dataset: str = setting(
        description="Name on the hub (owner/name), or a folder that begins with /, ./, ../ or ~.",
        path="local",
        min_length=1,
    )
    config: str | None = setting(
        default=None, description="Configuration of the data set; none: its default."
    )
    split: str = setting(default="train", description="Split that is read.", min_length=1)
    revision: str | None = setting(
        default=None,
        description="Commit of the data set (40 hexadecimal digits); needed for the hub's.",
    )
    text: str | tuple[str, ...] = setting(
        default="text",
        description="Column with the text, dots leading into nested ones; several are joined by an "
        "empty line.",
    )
    url: str | None = setting(
        default=None,
        description="Column with the document's address; none: data set and row number.",
    )
    max_documents: int | None = setting(
        default=None, description="Rows that are read (count); none: all.", gt=0
    )
    max_document_bytes: int = setting(
        default=50_000_000, description="Larger documents are left out (bytes).", gt=0
    )
    shard_bytes: int = setting(
        default=32_000_000,
        description="Mean size of a shard of the result (bytes of text, uncompressed).",
        gt=0,
    )

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("text names no column")
        if not self.is_local and not _COMMIT.fullmatch(self.revision or ""):
            raise ValueError(
                f"pin the revision of {self.dataset}: the 40 digits of a commit from "
                f"https://huggingface.co/datasets/{self.dataset}/commits/main (a folder begins "
                "with ./ or /)"
            )

    @property
    def is_local(self) -> bool:
        """Whether it is a folder."""
        return self.dataset.startswith(_LOCAL)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns with text."""
        return (self.text,) if isinstance(self.text, str) else self.text
