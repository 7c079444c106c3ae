"""Text from a model folder, piece by piece: continuing a text, or answering a question."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llm.models.folder import load
from llm.models.generation import Request
from llm.models.roles import delimiters
from llm.models.writing import TextRequest, write
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
        self,
        prompt: str,
        max_tokens: int,
        temperature: float,
        seed: int,
        stops: Sequence[str] = (),
    ) -> Iterator[str]:
        """Continue a text that stands at the beginning of a document, up to one of `stops`."""
        before = encode_text(self.tokenizer, prompt).ids
        ids = [self.delimiters.begin, *before]
        request = self._request(ids, max_tokens, temperature, seed)
        return write(self.model, self.tokenizer, TextRequest(request, before, stops))

    def answer(
        self,
        messages: Sequence[Mapping[str, str]],
        max_tokens: int,
        temperature: float,
        seed: int,
        stops: Sequence[str] = (),
    ) -> Iterator[str]:
        """Answer the last of `messages` (role, content), as the tuned model was taught to."""
        ids, _ = encode_messages(self.tokenizer, messages, ask=True)
        request = self._request(ids, max_tokens, temperature, seed)
        return write(self.model, self.tokenizer, TextRequest(request, stops=stops))

    def _request(self, ids: list[int], max_tokens: int, temperature: float, seed: int) -> Request:
        return Request(ids, max_tokens, temperature, TOP_K, seed, self.delimiters.ends)
