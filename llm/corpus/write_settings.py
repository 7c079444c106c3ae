"""How clean documents are written."""

from llm.corpus.pii_settings import KINDS
from llm.corpus.presets.c4 import C4
from llm.settings import section, setting


@section
class WriteShard:
    """One shard of the cleaned corpus."""

    shard: str = setting(description="Name of the shard in the table of decisions.")
    pii: tuple[str, ...] = setting(
        default=("email", "ip"), description="Personal data to mask, by kind."
    )
    lines: C4 | None = setting(
        default=None, description="Rules of the preset c4 on lines; null: every line stays."
    )
    erased: tuple[str, ...] = setting(
        default=(), description="Ids (hex) of documents that were taken down."
    )
    outdated: tuple[str, ...] = setting(
        default=(), description="Ids (hex) of documents whose page has changed or gone since."
    )

    def __post_init__(self) -> None:
        unknown = sorted({*self.pii} - {*KINDS})
        if unknown:
            raise ValueError(f"unknown kind of personal data {unknown}: choose from {list(KINDS)}")
