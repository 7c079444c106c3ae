"""Which simple methods stand beside the models."""

from typing import Literal

from llm.settings import section, setting

Baseline = Literal["uniform", "bigram", "ngram5", "xz", "xz_primed"]


ALL_BASELINES: tuple[Baseline, ...] = ("uniform", "bigram", "ngram5", "xz", "xz_primed")


@section
class MeasureBaselines:
    """Which simple methods stand beside the model, and on what."""

    baselines: tuple[Baseline, ...] = setting(
        default=ALL_BASELINES,
        description="Methods measured on the bytes that the model is measured on.",
    )
    validation_fraction: float = setting(
        description="Share of documents that are held out (0 to 1).", gt=0, le=1
    )
    documents_limit_bytes: int | None = setting(
        default=None,
        description="Validation text that is scored, at most (bytes); none: all of it.",
        gt=0,
    )
    primed_bytes: int = setting(
        default=128_000_000,
        description="Training text that xz_primed is given, at most (bytes): the last of it counts. "
        "Compressing takes about a second and 11 MB of memory per MB.",
        gt=0,
    )
    ngram_bytes: int = setting(
        default=512_000_000,
        description="Training text that bigram and ngram5 are given, at most (bytes): the first of it.",
        gt=0,
    )
