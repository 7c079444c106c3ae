"""How repeated passages are found among all shards."""

from llm.corpus.passages_settings import PassageSettings
from llm.settings import section, setting


@section
class RepeatedAll:
    """All shards of a night and what counts as repeated."""

    shards: tuple[str, ...] = setting(description="Names of the shards, in the inputs' order.")
    settings: PassageSettings = setting(
        default=PassageSettings, description="Which repeated passages are cut."
    )
    erased: tuple[str, ...] = setting(
        default=(), description="Ids (hex) of documents that are left out, and so have no passage."
    )
