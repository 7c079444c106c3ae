"""What the folder of the trained model will say, read from one that the task wrote before training."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from llm.models.roles import START

LIBRARIES = ("tokenizers",)


@dataclass(frozen=True)
class Told:
    """stops: the ids that end what the model writes. begin: the id that begins a text; None: none does.
    start: what an encoder-decoder's target starts from.

    tokenizer: as transformers would load it, so that special tokens in a text are read as such.
    """

    stops: frozenset[int]
    begin: int | None
    start: int | None
    tokenizer: Tokenizer

    @classmethod
    def of(cls, folder: Path) -> "Told":
        """By generation_config.json and tokenizer.json."""
        fields = json.loads((folder / "generation_config.json").read_text("utf8"))
        ends = fields.get("eos_token_id")
        stops = ends if isinstance(ends, list) else [] if ends is None else [ends]
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return cls(frozenset(stops), fields.get("bos_token_id"), fields.get(START), tokenizer)

    def encode(self, texts: Sequence[str | tuple[str, str]], marked: bool) -> list[list[int]]:
        """The ids of texts, or of pairs; marked: with the marks that the tokenizer puts."""
        found = self.tokenizer.encode_batch(list(texts), add_special_tokens=marked)
        return [one.ids for one in found]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of rows of ids, special tokens spelled out."""
        found: list[str] = self.tokenizer.decode_batch(
            [list(row) for row in rows], skip_special_tokens=False
        )
        return found

    def special(self) -> frozenset[int]:
        """The ids of special tokens."""
        added = self.tokenizer.get_added_tokens_decoder().items()
        return frozenset(number for number, token in added if token.special)

    def spelled(self) -> re.Pattern[str]:
        """What finds special tokens in a text."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        names = sorted((token.content for token in added if token.special), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or r"(?!)")
