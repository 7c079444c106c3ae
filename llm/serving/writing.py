"""Text from a model folder, piece by piece: continuing a text, or answering a question."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llm.models.folder import load
from llm.models.generation import generate
from llm.models.roles import delimiters
from llm.tokens.chat import encode_messages
from llm.tokens.plain_text import encode_text

TOP_K = 50


class Writer:
    """A loaded model that writes.

    Raises BadInput for a folder that is no model (see `llm.models.folder.load`).
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.model, self.tokenizer = load(folder, device)
        self.delimiters = delimiters(folder, self.tokenizer, self.model.config.vocabulary)

    def complete(
        self, prompt: str, max_tokens: int, temperature: float, seed: int
    ) -> Iterator[str]:
        """Continue a text that stands at the beginning of a document."""
        before = encode_text(self.tokenizer, prompt).ids
        return self._write([self.delimiters.begin, *before], before, max_tokens, temperature, seed)

    def answer(
        self, messages: Sequence[Mapping[str, str]], max_tokens: int, temperature: float, seed: int
    ) -> Iterator[str]:
        """Answer the last of `messages` (role, content), as the tuned model was taught to."""
        ids, _ = encode_messages(self.tokenizer, messages, ask=True)
        return self._write(ids, [], max_tokens, temperature, seed)

    def _write(
        self,
        ids: Sequence[int],
        before: Sequence[int],
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> Iterator[str]:
        """Decode as ids come: a piece is given when its bytes make whole characters.

        before: the last of `ids`, which the new text is part of. Decoded with it, since some
        tokenizers drop the blank that a text begins with, and others put one between two words.
        """
        written = list(before)
        shown = self.tokenizer.decode(written, skip_special_tokens=False)
        stops = self.delimiters.ends
        for token in generate(self.model, ids, max_tokens, temperature, TOP_K, seed, stops):
            written.append(token)
            text = self.tokenizer.decode(written, skip_special_tokens=False)
            if not text.endswith("\ufffd"):
                yield text[len(shown) :]
                shown = text
        rest = self.tokenizer.decode(written, skip_special_tokens=False)[len(shown) :]
        if rest:
            yield rest
