"""How duplicates are found."""

from typing import Literal

from llm.corpus.near.bands import MOST_BANDS, banding, chance
from llm.corpus.near.signatures_settings import WORDS, SignatureSettings
from llm.settings import section, setting


@section
class NearSettings:
    """What a near-duplicate is."""

    similarity: float = setting(
        default=0.8, description="Least Jaccard similarity of word n-grams (0 to 1).", gt=0, le=1
    )
    words: int = setting(default=WORDS, description="Words in an n-gram (count).", ge=1, le=20)
    bands: int | None = setting(
        default=None,
        description="MinHash bands (count): more find more candidates. null: as many as `similarity` "
        "needs for nearly all such pairs to be found (16 of 7 rows at 0.8).",
        ge=1,
        le=MOST_BANDS,
    )
    rows: int | None = setting(
        default=None,
        description="MinHash values a band (count): more find fewer candidates. null: chosen as `bands`.",
        ge=1,
        le=50,
    )

    def __post_init__(self) -> None:
        bands, rows = self.banding()
        found = chance(self.similarity, bands, rows)
        if found < 0.5 and (self.bands or self.rows):
            raise ValueError(
                f"bands: {bands} with rows: {rows} would find {found:.0%} of the pairs of "
                f"similarity {self.similarity}: leave both out to have them chosen, or give more "
                "bands or fewer rows"
            )

    def banding(self) -> tuple[int, int]:
        """Bands and rows: those given, else chosen for the similarity."""
        return banding(self.similarity, self.bands, self.rows)


@section
class DedupSettings:
    """Which duplicates are looked for."""

    exact: Literal["document", "none"] = setting(
        default="document", description="Exact duplicates: by the whole document's text, or none."
    )
    url: bool = setting(
        default=False,
        description="Whether one document an address is enough: an earlier night's, or tonight's longest.",
    )
    near: NearSettings | None = setting(
        default=NearSettings, description="Near-duplicates; null: not looked for."
    )


def signature_settings(values: DedupSettings) -> SignatureSettings:
    """How documents must be signed for these duplicates to be found."""
    if values.near is None:
        return SignatureSettings(bands=0)
    bands, rows = values.near.banding()
    return SignatureSettings(words=values.near.words, bands=bands, rows=rows)
