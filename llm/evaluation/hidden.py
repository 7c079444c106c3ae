"""Held-out text with tokens hidden, as models see it that fill them in, and what they say.

An encoder reads a window with masks. An encoder-decoder reads it with sentinels and writes the hidden
spans behind them (`llm.training.objectives.span_corruption` has a worked example).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer

from llm.models.encoder import Encoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.language_model import LanguageModel
from llm.tokens.plain_text import encode_texts
from llm.tokens.rows import FILLING, IGNORE
from llm.tokens.special import CLASSIFY, MASK, PADDING, SENTINELS, SEPARATOR, special_ids
from llm.training.batch import Integers
from llm.training.objectives.chance import chance
from llm.training.objectives.masked import Hiding
from llm.training.objectives.settings import ObjectiveSettings
from llm.training.objectives.settings import sizes as span_sizes
from llm.training.objectives.span_corruption import SpanCorruption

SHORTEST = 8  # tokens of a window: of fewer there is hardly anything to tell from
BATCH_TOKENS = 4096
_PADDED = {"tokens": "segments", "sources": "source_segments"}


@dataclass(frozen=True)
class Hidden:
    """A window of a document with tokens hidden.

    document: its number. size: how many tokens it has. arrays: what the model reads, (T,) each, and
    targets, IGNORE where nothing is asked. text: the window with [1], [2] where tokens are hidden.
    gaps: which of the hidden tokens stand in which of those.
    """

    document: int
    size: int
    arrays: Mapping[str, Integers]
    text: str
    gaps: Sequence[slice]

    @property
    def asked(self) -> Integers:
        """The hidden tokens in order, (n,)."""
        targets = self.arrays["targets"]
        return targets[targets != IGNORE]


@dataclass(frozen=True)
class Filled:
    """What a model said of a window: nats of each hidden token, and its likeliest ones, (n,) each."""

    nats: np.ndarray[Any, np.dtype[np.float64]]
    guesses: Integers


class How(Protocol):
    """How tokens are hidden. length: the longest window (tokens). said: in words."""

    length: int
    said: str

    def arrays(self, window: Integers, random: np.random.Generator) -> dict[str, Integers]:
        """What a model reads of a window (T,), and its targets."""

    def pieces(self, arrays: Mapping[str, Integers]) -> Iterator[tuple[Integers, int]]:
        """The text that is left, in pieces, and how many hidden tokens stand behind each (0: none)."""


class Masks:
    """Each hidden token is a mask; a model that knows pairs has the row between its marks."""

    def __init__(self, model: Encoder, tokenizer: Tokenizer, rate: float) -> None:
        """Raises ValueError where the tokenizer has no mask."""
        self.hiding = Hiding.of(ObjectiveSettings(type="masked", rate=rate), tokenizer)
        self.marks: tuple[Integers, Integers] = (np.empty(0, np.int64), np.empty(0, np.int64))
        if model.config.next_sentence:
            ids = special_ids(tokenizer, (CLASSIFY, SEPARATOR))
            self.marks = (np.array([ids[CLASSIFY]]), np.array([ids[SEPARATOR]]))
        self.length = model.config.context_length - sum(len(one) for one in self.marks)
        self.said = f"{rate:.0%} of the tokens are {MASK}, each to be said from all the others"

    def arrays(self, window: Integers, random: np.random.Generator) -> dict[str, Integers]:
        """The masked row."""
        places = self.hiding.choose(window, random)
        tokens, targets = window.copy(), np.full_like(window, IGNORE)
        tokens[places], targets[places] = self.hiding.mask, window[places]
        first, last = self.marks
        blank = [np.full_like(one, IGNORE) for one in self.marks]
        return {
            "tokens": np.concatenate((first, tokens, last)),
            "targets": np.concatenate((blank[0], targets, blank[1])),
        }

    def pieces(self, arrays: Mapping[str, Integers]) -> Iterator[tuple[Integers, int]]:
        """Masks that stand beside each other are one gap."""
        first, last = (len(one) for one in self.marks)
        row = arrays["tokens"][first : len(arrays["tokens"]) - last]
        edges = np.flatnonzero(np.diff(row == self.hiding.mask)) + 1
        parts = np.split(row, edges)
        if len(parts[0]) and parts[0][0] == self.hiding.mask:
            parts.insert(0, row[:0])
        if len(parts) % 2:
            parts.append(row[:0])
        for text, gap in zip(parts[::2], parts[1::2], strict=True):
            yield text, len(gap)


class Spans:
    """Each hidden span is a sentinel, and the target has the spans behind theirs."""

    def __init__(
        self, model: EncoderDecoder, tokenizer: Tokenizer, rate: float, mean_span: float
    ) -> None:
        """Raises ValueError where the tokenizer has no sentinels, or too few for a window."""
        ids = special_ids(tokenizer, (PADDING, *SENTINELS))
        self.sentinels = np.array([ids[name] for name in SENTINELS])
        self.start = ids[PADDING]
        self.length = model.config.context_length
        _, spans = span_sizes(self.length, rate, mean_span)
        if spans >= len(self.sentinels):
            raise ValueError(
                f"a rate of {rate:g} in spans of {mean_span:g} hides {spans} spans in a window of "
                f"{self.length} tokens, and there are {len(self.sentinels)} sentinels: raise mean_span"
            )
        # It makes rows of windows; here it is given each window by itself.
        self.corruption = SpanCorruption(
            None,  # type: ignore[arg-type]
            1,
            0,
            rate,
            mean_span,
            self.sentinels.tolist(),
            self.start,
        )
        self.said = (
            f"{rate:.0%} of the tokens are hidden in spans of {mean_span:g} on average, each token to be "
            "said from the text around and the hidden tokens before it"
        )

    def arrays(self, window: Integers, random: np.random.Generator) -> dict[str, Integers]:
        """The source with sentinels, and the target; sentinels themselves are not asked."""
        sources, targets = self.corruption.corrupt(window, random)
        tokens = np.concatenate(([self.start], targets[:-1]))
        asked = np.where(np.isin(targets, self.sentinels), IGNORE, targets)
        return {"tokens": tokens, "targets": asked, "sources": sources}

    def pieces(self, arrays: Mapping[str, Integers]) -> Iterator[tuple[Integers, int]]:
        """A gap is a sentinel of the source."""
        row = arrays["sources"]
        cuts = np.flatnonzero(np.isin(row, self.sentinels))
        targets = arrays["targets"]
        lengths = np.diff(np.flatnonzero(targets == IGNORE)) - 1
        begin = 0
        for cut, length in zip(cuts.tolist(), lengths.tolist(), strict=True):
            yield row[begin:cut], length
            begin = cut + 1
        yield row[begin:], 0


def hiding(model: LanguageModel, tokenizer: Tokenizer, rate: float, mean_span: float) -> How:
    """How tokens are hidden from a model. Raises ValueError where its tokenizer has no marks for it."""
    if isinstance(model, Encoder):
        return Masks(model, tokenizer, rate)
    assert isinstance(model, EncoderDecoder), "a decoder fills nothing in"
    return Spans(model, tokenizer, rate, mean_span)


def hide(tokenizer: Tokenizer, documents: Sequence[tuple[bytes, bytes]], how: How) -> list[Hidden]:
    """The windows of documents (id, UTF-8 text), with tokens hidden by a draw of the id's own."""
    encoded = encode_texts(tokenizer, [text.decode() for _, text in documents])
    found = []
    for number, ((name, _), one) in enumerate(zip(documents, encoded, strict=True)):
        ids = np.array(one.ids, np.int64)
        seed = int.from_bytes(name[:8], "big")
        for place, begin in enumerate(range(0, len(ids), how.length)):
            window = ids[begin : begin + how.length]
            if len(window) < SHORTEST:
                continue
            arrays = how.arrays(window, chance(seed, place, 0))
            if (arrays["targets"] != IGNORE).any():
                found.append(Hidden(number, len(window), arrays, *_told(tokenizer, arrays, how)))
    return found


def _told(
    tokenizer: Tokenizer, arrays: Mapping[str, Integers], how: How
) -> tuple[str, Sequence[slice]]:
    text, gaps, done = "", [], 0
    for piece, length in how.pieces(arrays):
        text += tokenizer.decode(piece.tolist())
        if length:
            gaps.append(slice(done, done + length))
            done += length
            text += f" [{len(gaps)}]"
    return text, gaps


@torch.inference_mode()
def score(
    model: LanguageModel,
    windows: Sequence[Hidden],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Filled]:
    """What the model says of each window, in order. progress(done, total): windows."""
    found: dict[int, Filled] = {}
    for batch in _batches(windows):
        rows = _rows([windows[number] for number in batch])
        device = model.embedding.device
        tensors = {name: torch.from_numpy(array).to(device) for name, array in rows.items()}
        targets = tensors.pop("targets")
        asked = targets != IGNORE
        x = model.hidden_states(**tensors)  # type: ignore[operator]
        logits = model.logits(x[asked])  # (N, vocabulary)
        chosen = logits.gather(1, targets[asked][:, None])[:, 0]
        nats = (logits.logsumexp(1) - chosen).double().cpu().numpy()
        guesses = logits.argmax(1).cpu().numpy()
        ends = np.cumsum([len(windows[number].asked) for number in batch]).tolist()
        for number, begin, end in zip(batch, [0, *ends], ends, strict=False):
            found[number] = Filled(nats[begin:end], guesses[begin:end])
        progress(len(found), len(windows))
    return [found[number] for number in range(len(windows))]


def _batches(windows: Sequence[Hidden]) -> Iterator[list[int]]:
    """Numbers of windows of like length, so that hardly anything is padding; longest first."""
    sizes = [max(map(len, one.arrays.values())) for one in windows]
    order = sorted(range(len(windows)), key=lambda number: -sizes[number])
    while order:
        count = max(1, BATCH_TOKENS // sizes[order[0]])
        yield order[:count]
        order = order[count:]


def _rows(windows: Sequence[Hidden]) -> dict[str, Integers]:
    """Windows as rows of one length each: shorter ones are filled up with a segment of their own, 0."""
    rows: dict[str, Integers] = {}
    for name in windows[0].arrays:
        parts = [one.arrays[name] for one in windows]
        longest = max(map(len, parts))
        filling = IGNORE if name == "targets" else FILLING
        rows[name] = np.stack(
            [np.pad(one, (0, longest - len(one)), constant_values=filling) for one in parts]
        )
        if name in _PADDED:
            lengths = np.array([len(one) for one in parts])
            rows[_PADDED[name]] = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    if all(rows[name].all() for name in _PADDED.values() if name in rows):
        for name in _PADDED.values():
            rows.pop(name, None)
    return rows
