"""What decides which documents are kept."""

from llm.corpus.consent_settings import ConsentSettings
from llm.corpus.filters_settings import FilterSettings
from llm.corpus.hooks_settings import HookSettings
from llm.settings import section, setting


@section
class DecideAll:
    """All shards of a night and the rules."""

    shards: tuple[str, ...] = setting(description="Names of the shards, in the inputs' order.")
    filters: FilterSettings = setting(
        default=FilterSettings, description="Which documents are kept."
    )
    consent: ConsentSettings = setting(
        default=ConsentSettings, description="Whose wishes are respected."
    )
    hooks: dict[str, HookSettings] = setting(
        default=dict, description="The user's own filters, by name."
    )
    may_be_empty: bool = setting(
        default=False, description="Whether no document at all may be left, on a later night."
    )
