"""What is measured of documents."""

from llm.settings import section, setting


@section
class SignalSettings:
    """Models of the user's own; every other signal is measured for every document."""

    quality_model: str = setting(
        default="", description="fastText classifier (.bin, .ftz) for the signal quality (path)."
    )
    quality_label: str = setting(
        default="__label__hq", description="Label of that model for good text."
    )
    perplexity_model: str = setting(
        default="",
        description="n-gram model of good text (.npz, made by llm.corpus.text.perplexity.train) for the "
        "signal perplexity (path).",
    )
