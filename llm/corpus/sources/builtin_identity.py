"""What names a crawl of the built-in site, besides its settings."""

from llm.corpus.site.documentation import installed_versions
from llm.corpus.web.websource import WebSource
from llm.step import digest_of

STANDARD_LIBRARY = "builtin:python-docs"


WITH_PACKAGES = "builtin:python-docs+packages"


def identity(values: WebSource) -> dict[str, str]:
    """What else names the result of a crawl: the packages that are installed, where they matter."""
    if WITH_PACKAGES not in values.seeds:
        return {}
    return {"packages": digest_of(installed_versions())}
