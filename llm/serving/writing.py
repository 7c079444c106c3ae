"""Text from a model folder, piece by piece: continuing a text, or answering a question."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llm.models.encoder import Encoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.folder import load_any
from llm.models.generation import Request
from llm.models.roles import delimiters, start_of
from llm.models.writing import TextRequest, write
from llm.step import BadInput
from llm.tokens.chat import encode_messages
from llm.tokens.plain_text import encode_text

TOP_K = 50


class Writer:
    """A loaded model that writes.

    Raises BadInput for a folder that is no model, or none that writes.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        model, self.tokenizer = load_any(folder, device)
        if isinstance(model, Encoder) or model.config.outputs is not None:
            raise BadInput(
                f"{folder} holds a model that writes no text: `penstock predict` says labels and values of one "
                "tuned by classify or regress"
            )
        self.model = model
        self.delimiters = delimiters(folder, self.tokenizer, model.config.vocabulary)
        self.start = None
        if isinstance(model, EncoderDecoder):
            self.start = start_of(folder, self.tokenizer, model.config.vocabulary)

    def complete(
        self,
        prompt: str,
        max_tokens: int,
        temperature: float,
        seed: int,
        stops: Sequence[str] = (),
    ) -> Iterator[str]:
        """Continue a text that stands at the beginning of a document, up to one of `stops`."""
        if self.start is not None:
            raise BadInput(
                "an encoder-decoder does not go on from a text: it answers (penstock chat) or translates "
                "(penstock translate), as it was tuned to"
            )
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
        if self.start is not None:
            ids = ids[-self.model.config.context_length :]
        ends = self.delimiters.ends
        return Request(ids, max_tokens, temperature, TOP_K, seed, ends, self.start)
