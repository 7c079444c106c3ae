"""How text is extracted from pages."""

from llm.corpus.reading.engine import Engine
from llm.settings import section, setting


@section
class ExtractSettings:
    """How the text of a page is read."""

    engine: Engine = setting(
        default="auto",
        description="Extractor: blocks (fast), resiliparse (fast, keeps more trimmings), trafilatura "
        "(thorough), or auto (blocks, and trafilatura where the fast one doubts itself).",
    )
    min_characters: int = setting(
        default=1, description="Shortest text that is a document (characters).", ge=1
    )
    max_page_bytes: int = setting(
        default=10_000_000,
        description="Larger pages are dropped unread (bytes of the payload).",
        gt=0,
    )
    page_seconds: float = setting(
        default=10.0,
        description="Pages that take longer to read are dropped (seconds of processor time).",
        gt=0,
    )


@section
class ExtractShard:
    """One shard of one source's crawl."""

    source: str = setting(description="Name of the source in the recipe.")
    part: str = setting(
        description="Name of the shard, such as 00000.", pattern=r"^[0-9A-Za-z_-]+$"
    )
    settings: ExtractSettings = setting(default=ExtractSettings, description="How text is read.")
