"""What is measured of documents."""

from pathlib import Path

from llm.settings import section, setting
from llm.step import BadInput, digest_of


@section
class SignalSettings:
    """Models of the user's own; every other signal is measured for every document."""

    quality_model: str = setting(
        default="",
        description="fastText classifier (.bin, .ftz) for the signal quality (path).",
        path="file",
    )
    quality_label: str = setting(
        default="__label__hq", description="Label of that model for good text."
    )
    perplexity_model: str = setting(
        default="",
        description="n-gram model of good text (.npz, made by llm.corpus.text.perplexity.train) for the "
        "signal perplexity (path).",
        path="file",
    )


def identity(values: SignalSettings) -> dict[str, str]:
    """What else names the result: the content of the files in the settings."""
    models = {
        "quality_model": values.quality_model,
        "perplexity_model": values.perplexity_model,
    }
    return {name: digest_of([_read(path)]) for name, path in models.items() if path}


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): check clean.signals") from error
