"""Which extractors there are."""

from typing import Literal

Engine = Literal["auto", "blocks", "resiliparse", "trafilatura"]
