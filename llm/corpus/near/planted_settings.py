"""What is planted to tell how well duplicates are found."""

from llm.corpus.near.signatures_settings import WORDS
from llm.settings import section, setting


@section
class PlantSettings:
    """How many near-duplicates are planted."""

    documents: int = setting(
        default=64,
        description="Documents that are edited (count): each once for each range of similarity.",
        ge=0,
        le=10_000,
    )
    words: int = setting(default=WORDS, description="Words in an n-gram (count).", ge=1, le=20)
