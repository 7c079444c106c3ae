"""Which repeated passages are cut."""

from typing import Literal

from llm.settings import section, setting


@section
class NearPassages:
    """When a passage is as good as repeated (dolma's rule and figures)."""

    words: int = setting(default=6, description="Words in an n-gram (count).", ge=2, le=50)
    stride: int = setting(
        default=3, description="Words from one n-gram to the next (count).", ge=1, le=50
    )
    overlap: float = setting(
        default=0.5,
        description="Cut where more than this share of n-grams comes again (0 to 1).",
        ge=0,
        lt=1,
    )


@section
class PassageSettings:
    """Which repeated passages are cut."""

    unit: Literal["line", "paragraph"] = setting(
        default="paragraph",
        description="What is compared: lines, or paragraphs between blank ones.",
    )
    min_characters: int = setting(
        default=40, description="Shorter passages are left alone (characters).", ge=1
    )
    near: NearPassages | None = setting(
        default=None,
        description="Cut what is mostly repeated too, by n-grams (ten times the work); null: only "
        "what is repeated word for word.",
    )
    keep: Literal["first", "none"] = setting(
        default="first",
        description="first: the passage stays once, in the oldest night's longest document; none: "
        "what stands in two documents is cut from both.",
    )
