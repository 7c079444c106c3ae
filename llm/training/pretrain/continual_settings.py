"""How training goes on when a night brings new text: what is set."""

from llm.settings import section, setting


@section
class ContinualSettings:
    """How training goes on when a night brings new text."""

    epochs: float = setting(
        default=2.0,
        description="How often the trunk reads what is new in a night, before the decay (count).",
        gt=0,
    )
    replay: float = setting(
        default=0.3,
        description="Share of the tokens of a later night that come from the nights before it (0 to below 1).",
        ge=0,
        lt=1,
    )
    tokens: int | None = setting(
        default=None,
        description="The most that a later night adds to the trunk, replay included (tokens); none: as much as "
        "epochs and replay make it.",
        gt=0,
    )
    decay_tokens: int | None = setting(
        default=None,
        description="Length of a release's decay, rounded up to whole steps (tokens); none: as in the first night, "
        "tokens times schedule.decay_fraction.",
        ge=0,
    )
