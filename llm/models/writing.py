"""Text from a model and its tokenizer: of one request piece by piece, or of many at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import ROWS, Request, WritingBatch, generate_all
from llm.models.text_pieces import Stops, TextPieces


@dataclass(frozen=True)
class TextRequest:
    """A request whose text is wanted, ended before the first of some strings, too.

    before: the last of the request's ids, where the new text goes on in the middle of a text: some
    tokenizers drop the blank that a text begins with, and others put one between two words.
    skip_special: whether special tokens have no text.
    """

    request: Request
    before: Sequence[int] = ()
    stops: Sequence[str] = ()
    skip_special: bool = False


@dataclass(frozen=True)
class Text:
    """A request's text, and how many tokens were made for it. ended: not by their number alone."""

    text: str
    tokens: int
    ended: bool


class _Row:
    """The text of one request as its tokens come."""

    def __init__(self, tokenizer: Tokenizer, wanted: TextRequest) -> None:
        self.pieces = TextPieces(tokenizer, wanted.before, wanted.skip_special)
        self.stops = Stops(wanted.stops)

    def push(self, token: int) -> str:
        return self.stops.push(self.pieces.push(token))

    def finish(self) -> str:
        return self.stops.push(self.pieces.finish()) + self.stops.finish()


def write(
    model: Decoder | EncoderDecoder, tokenizer: Tokenizer, wanted: TextRequest
) -> Iterator[str]:
    """The text of one request, in pieces of whole characters as soon as they are certain."""
    row = _Row(tokenizer, wanted)
    batch = WritingBatch(model)
    if wanted.request.max_new_tokens > 0:
        batch.add(wanted.request)
    while len(batch) and not row.stops.met:
        for new in batch.step():
            if new.token is not None and (piece := row.push(new.token)):
                yield piece
    if rest := row.finish():
        yield rest


def write_all(
    model: Decoder | EncoderDecoder,
    tokenizer: Tokenizer,
    wanted: Sequence[TextRequest],
    rows: int = ROWS,
) -> list[Text]:
    """The texts of requests, at most `rows` of them at a time."""
    each = [_Row(tokenizer, one) for one in wanted]
    texts = [""] * len(wanted)

    def goes_on(place: int, token: int) -> bool:
        texts[place] += each[place].push(token)
        return not each[place].stops.met

    made = generate_all(model, [one.request for one in wanted], rows, goes_on)
    return [
        Text(
            text + row.finish(),
            len(ids),
            row.stops.met or len(ids) < one.request.max_new_tokens,
        )
        for text, row, ids, one in zip(texts, each, made, wanted, strict=True)
    ]
