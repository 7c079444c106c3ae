"""The recipe's section on cleaning: how pages become the documents that are trained on.

The steps, each in a module of its own: extract, signals, signatures (a shard), dedup (all at once),
decide (all at once), write (a shard); where they are asked for hooks, contamination and passages
(a shard) and repeats (all at once).
"""

from typing import Literal

from llm.corpus.consent_settings import ConsentSettings
from llm.corpus.contamination.sets_settings import DecontaminateSettings
from llm.corpus.dedup_settings import DedupSettings
from llm.corpus.extract_settings import ExtractSettings
from llm.corpus.filters_settings import FilterSettings
from llm.corpus.hooks_settings import HookSettings
from llm.corpus.passages_settings import PassageSettings
from llm.corpus.pii_settings import Kind
from llm.corpus.signals_settings import SignalSettings
from llm.settings import section, setting


@section
class CleanSettings:
    """From pages to documents."""

    extract: ExtractSettings = setting(
        default=ExtractSettings, description="How the text of a page is read."
    )
    signals: SignalSettings = setting(
        default=SignalSettings, description="Models of your own that measure documents."
    )
    filters: FilterSettings = setting(
        default=FilterSettings, description="Which documents are kept."
    )
    consent: ConsentSettings = setting(
        default=ConsentSettings, description="What their authors let be done with pages."
    )
    dedup: DedupSettings = setting(
        default=DedupSettings, description="Which duplicates are removed."
    )
    planted: int = setting(
        default=32,
        description="Documents of which near-duplicates are planted and taken out again, to report "
        "how many are found (count); 0: none.",
        ge=0,
    )
    hooks: dict[str, HookSettings] = setting(
        default=dict, description="Filters of your own, by name: see docs/your-filters.md."
    )
    decontaminate: DecontaminateSettings = setting(
        default=DecontaminateSettings,
        description="Evaluation sets that must not be in the corpus.",
    )
    passages: PassageSettings | None = setting(
        default=None, description="Lines or paragraphs that come again; null: they stay."
    )
    outdated: Literal["keep", "drop"] = setting(
        default="keep",
        description="What becomes of an earlier night's document whose page has changed or gone since: "
        "keep it (and leave out a new version that nearly repeats it), or drop it.",
    )
    pii: tuple[Kind, ...] = setting(
        default=("email", "ip"), description="Personal data to mask, by kind; empty: none."
    )
