"""Which opt-outs are honoured."""

from llm.settings import section, setting


@section
class ConsentSettings:
    """Whose wishes count. What pages say is kept with each document whatever is set here."""

    respect: tuple[str, ...] = setting(
        default=("noai", "tdm"),
        description="Opt-out words that drop a page: noai, noimageai, tdm, noarchive and what else "
        "robots meta tags and headers hold; empty: none.",
    )
    licences: tuple[str, ...] = setting(
        default=(),
        description="Licences to keep, as patterns such as *creativecommons.org/licenses/by/*; empty: "
        "all, those without one too.",
    )
