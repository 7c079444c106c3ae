"""How signatures are made."""

from llm.corpus.near.bands import BANDS, MOST_BANDS, ROWS
from llm.settings import section, setting

WORDS = 5


@section
class SignatureSettings:
    """How documents are signed."""

    words: int = setting(default=WORDS, description="Words in an n-gram (count).", ge=1, le=20)
    bands: int = setting(
        default=BANDS, description="MinHash bands (count); 0: only digests.", ge=0, le=MOST_BANDS
    )
    rows: int = setting(default=ROWS, description="MinHash values a band (count).", ge=1, le=50)
