"""The section of a recipe that says where its text comes from."""

from typing import Annotated, Literal

import pydantic

from llm.corpus.sources.files_settings import FilesSource
from llm.corpus.sources.hook_settings import HookSource
from llm.corpus.sources.hub_settings import HubSource
from llm.corpus.sources.warc_settings import WarcSource
from llm.corpus.web.websource import WebSource
from llm.settings import section, setting

Source = Annotated[
    WebSource | FilesSource | WarcSource | HubSource | HookSource,
    pydantic.Field(discriminator="type"),
]


@section
class CrawlSettings:
    """The sources of the corpus. Each is crawled or read by itself, so adding one redoes no other."""

    sources: dict[str, Source] = setting(
        default=dict,
        description="Sources by name (letters, digits, - and _); the name is in every document.",
        min_length=1,
    )
    nights: Literal["accumulate", "alone"] = setting(
        default="accumulate",
        description="accumulate: each night (snapshot) adds what is new to the nights before it, and a "
        "web crawl fetches only what changed; alone: each night is a corpus by itself.",
    )

    def __post_init__(self) -> None:
        for name in self.sources:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(
                    f"crawl.sources: the name {name!r} may hold letters, digits, - and _ only"
                )
