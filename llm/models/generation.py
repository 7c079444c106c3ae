"""Ids from a model: many rows at once, one token after the other, with a cache of keys and values.

Rows may come and go between two steps (`WritingBatch`), as a server's requests do; `generate_all` writes
some at once, `generate` and `generate_target` write one. A row depends on nothing but its own
request, up to rounding: a processor sums in another order for another number of rows, so that two
tokens whose logits agree to the last bits may change places.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.one_token import OneToken
from llm.models.row_cache import RowCache
from llm.models.threads import one_thread

ROWS = 32  # written at once
READ_TOKENS = 4096  # of prompts, read in one pass
SMALL_PRODUCT = 1 << 20  # multiplications for which one thread is quicker than several


@dataclass(frozen=True)
class Request:
    """What is written after `ids`: at most `max_new_tokens` tokens, ended before one of `stop_ids`.

    temperature 0: always the likeliest token; else drawn from softmax(logits / temperature) of the
    `top_k` likeliest (None: all) by `seed`. start_id: for an encoder-decoder, whose `ids` are the
    source, the token that stands before the target. Raises ValueError for what is impossible.
    """

    ids: Sequence[int]
    max_new_tokens: int
    temperature: float = 0.0
    top_k: int | None = None
    seed: int = 0
    stop_ids: Collection[int] = ()
    start_id: int | None = None

    def __post_init__(self) -> None:
        if not len(self.ids):
            what = "prompt is empty: start with the end-of-text token"
            if self.start_id is not None:
                what = "source is empty: there is nothing to write a target from"
            raise ValueError(f"the {what}")
        if self.temperature < 0 or (self.top_k is not None and self.top_k < 1):
            raise ValueError(
                f"temperature {self.temperature} must be >= 0 and top_k {self.top_k} >= 1"
            )


class NewToken(NamedTuple):
    """What a step made of a row: a token (None for one that ended it), and why the row ends."""

    row: int
    token: int | None
    end: Literal["stop", "length"] | None


@dataclass
class _Row:
    number: int
    request: Request
    new: list[int]  # what the model has still to read
    history: list[int]
    draws: Random
    most: int
    made: int = 0


class WritingBatch:
    """Rows that a model goes on with together. The model's weights must not change meanwhile."""

    def __init__(self, model: Decoder | EncoderDecoder) -> None:
        self.model = model
        with torch.inference_mode():
            self._one_token = OneToken(model)
            like = model.embedding.new_empty(0, dtype=model.compute_dtype)
            self._cache = RowCache(model.config, like)
        self._running: list[_Row] = []  # by their slots in the cache
        self._waiting: list[_Row] = []  # whose ids are to be read at the next step
        self._added = 0

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    def add(self, request: Request) -> int:
        """Take a row in; the number by which `step` and `drop` name it.

        Raises ValueError for a source that is longer than the context, or no token to write.
        """
        limit = self.model.config.context_length
        if request.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens {request.max_new_tokens} must be >= 1")
        if isinstance(self.model, EncoderDecoder) != (request.start_id is not None):
            raise ValueError("a start_id is given for an encoder-decoder, and for no other model")
        ids = list(request.ids)
        most = request.max_new_tokens
        if request.start_id is not None:
            self.model.check_length(len(ids))
            most = min(most, limit)
        self._added += 1
        row = _Row(self._added, request, ids[-limit:], ids, Random(request.seed), most)
        self._waiting.append(row)
        return row.number

    @torch.inference_mode()
    def drop(self, number: int) -> None:
        """Let a row end here. A row that has ended may be named."""
        self._waiting = [row for row in self._waiting if row.number != number]
        for slot, row in enumerate(self._running):
            if row.number == number:
                self._leave(slot)
                return

    @torch.inference_mode()
    def step(self) -> list[NewToken]:
        """One token more for each row. Rows that end are gone afterwards."""
        self._forget()
        rows, logits = [], []
        if isinstance(self.model, EncoderDecoder):
            self._read_sources(self.model)
        if self._running:
            rows += self._running
            with threads_for(self.model, len(rows)):
                logits.append(self._one_token.logits([row.new[0] for row in rows], self._cache))
        if self._waiting and isinstance(self.model, Decoder):
            for group in _groups(self._waiting):
                rows += group
                logits.append(self._read(self.model, group))
            self._waiting = []
        if not rows:
            return []
        with threads_for(self.model, len(rows)):
            requests = [row.request for row in rows]
            tokens = draw(torch.cat(logits), requests, [row.draws for row in rows])
        made = [_took(row, token) for row, token in zip(rows, tokens, strict=True)]
        ended = {one.row for one in made if one.end is not None}
        for slot in reversed(range(len(self._running))):
            if self._running[slot].number in ended:
                self._leave(slot)
        return made

    def _forget(self) -> None:
        """Rows whose context is full keep the younger half: positions start again, so it is read."""
        limit = self.model.config.context_length
        for slot in reversed(range(len(self._running))):
            if self._cache.lengths[slot] == limit:
                row = self._running[slot]
                self._leave(slot)
                row.new = row.history[-max(1, limit // 2) :]
                self._waiting.append(row)

    def _read(self, model: Decoder, group: Sequence[_Row]) -> Tensor:
        """Let rows in: one pass over their ids. Logits after the last of each, (B, vocabulary)."""
        logits = read_prompts(model, self._cache, [row.new for row in group])
        self._running += group
        return logits

    def _read_sources(self, model: EncoderDecoder) -> None:
        """Let rows in: one pass over their sources; the target's first token is still to be read."""
        for group in _groups(self._waiting):
            read_sources(model, self._cache, [row.new for row in group])
            for row in group:
                assert row.request.start_id is not None
                row.new = [row.request.start_id]
            self._running += group
        self._waiting = []

    def _leave(self, slot: int) -> None:
        self._cache.remove(slot)
        self._running[slot] = self._running[-1]
        self._running.pop()


def threads_for(model: Decoder | EncoderDecoder, tokens: int) -> AbstractContextManager[None]:
    """One thread where a pass over so few tokens is quicker with it."""
    config = model.config
    product = config.matrix_parameters * tokens // (4 * config.layers + 1)
    return one_thread(model.embedding.device.type == "cpu" and product < SMALL_PRODUCT)


def read_prompts(model: Decoder, cache: RowCache, rows: Sequence[Sequence[int]]) -> Tensor:
    """Let rows of ids into the cache in one pass: logits after the last of each, (B, vocabulary)."""
    tokens, lengths = _padded(rows, model.embedding.device)
    with threads_for(model, tokens.numel()):
        # What follows a row's end is padding: a causal model never sees it.
        read = model.new_cache(*tokens.shape)
        x = model.hidden_states(tokens, cache=read)
        last = torch.tensor(lengths, device=x.device) - 1
        logits = model.logits(x[torch.arange(len(x), device=x.device), last])
        cache.fill(cache.add(lengths, [0] * len(rows)), read)
    return logits


def read_sources(model: EncoderDecoder, cache: RowCache, rows: Sequence[Sequence[int]]) -> None:
    """Let rows of sources into the cache in one pass; nothing of their targets is read."""
    tokens, lengths = _padded(rows, model.embedding.device)
    segments = None
    if min(lengths) < tokens.shape[1]:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        segments = (places < torch.tensor(lengths, device=tokens.device)[:, None]).long()
    with threads_for(model, tokens.numel()):
        states = model.encode(tokens, segments)
        read = model.new_cache(states, capacity=1)
        slots = cache.add([0] * len(rows), lengths)
        seen = [layer.crossed for layer in read.layers]
        cache.fill_sources(slots, [one for one in seen if one is not None])


def _took(row: _Row, token: int) -> NewToken:
    if token in row.request.stop_ids:
        return NewToken(row.number, None, "stop")
    row.made += 1
    row.history.append(token)
    row.new = [token]
    return NewToken(row.number, token, "length" if row.made == row.most else None)


def _groups(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows of like length, so few that a pass reads READ_TOKENS at most, or one row."""
    waiting = sorted(rows, key=lambda row: -len(row.new))
    while waiting:
        count = max(1, READ_TOKENS // len(waiting[0].new))
        yield waiting[:count]
        waiting = waiting[count:]


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, list[int]]:
    """Rows of ids as one tensor (B, longest), zeros after their ends; their lengths."""
    lengths = [len(row) for row in rows]
    tokens = torch.tensor([[*row, *[0] * (max(lengths) - len(row))] for row in rows], device=device)
    return tokens, lengths


@torch.no_grad()
def draw(logits: Tensor, requests: Sequence[Request], draws: Sequence[Random]) -> list[int]:
    """The next token of each row of logits (B, V), as its request says.

    One number of a row's own `draws` decides, so other rows have no part in it. temperature 0: the
    likeliest token, the one with the smallest id of several.
    """
    drawn = [row for row, request in enumerate(requests) if request.temperature > 0]
    tokens: list[int] = []
    if len(drawn) < len(requests):
        tokens = torch.argmax(logits, dim=-1).tolist()
    if not drawn:
        return tokens
    found = _drawn(logits, drawn, requests, [draws[row].random() for row in drawn])
    if len(drawn) == len(requests):
        return found
    for row, token in zip(drawn, found, strict=True):
        tokens[row] = token
    return tokens


def _drawn(
    logits: Tensor, rows: Sequence[int], requests: Sequence[Request], numbers: Sequence[float]
) -> list[int]:
    """What numbers from 0 to 1 mean by the probabilities of some rows, tokens in the order of ids."""
    device, vocabulary = logits.device, logits.shape[1]
    scores = logits if len(rows) == len(requests) else logits[rows]
    heat = [requests[row].temperature for row in rows]
    scores = scores.double() / torch.tensor(heat, dtype=torch.float64, device=device)[:, None]
    kept = [min(requests[row].top_k or vocabulary, vocabulary) for row in rows]
    few = max((count for count in kept if count < vocabulary), default=0)
    if few:
        best = scores.topk(few).values  # (rows, few)
        if min(kept) == max(kept):
            floor = best[:, -1:]
        else:
            least = torch.tensor([min(count, few) - 1 for count in kept], device=device)
            every = torch.tensor([count == vocabulary for count in kept], device=device)
            floor = best.gather(1, least[:, None]).masked_fill(every[:, None], -torch.inf)
        scores = scores.masked_fill(scores < floor, -torch.inf)
    sums = torch.softmax(scores, dim=-1).cumsum(-1)
    at = torch.tensor(numbers, dtype=torch.float64, device=device)[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, at, right=True)[:, 0]
    return [min(token, vocabulary - 1) for token in found.tolist()]


def generate_all(
    model: Decoder | EncoderDecoder,
    requests: Sequence[Request],
    rows: int = ROWS,
    goes_on: Callable[[int, int], bool] = lambda request, token: True,
) -> list[list[int]]:
    """The ids that follow each request's, at most `rows` requests at a time.

    goes_on(place of the request, token) is asked after each token; False ends the row after it.
    """
    made: list[list[int]] = [[] for _ in requests]
    # Prompts of like length are read together.
    waiting = sorted(range(len(requests)), key=lambda place: len(requests[place].ids))
    waiting = [place for place in waiting if requests[place].max_new_tokens > 0]
    batch, places = WritingBatch(model), dict[int, int]()
    while waiting or len(batch):
        while waiting and len(batch) < rows:
            place = waiting.pop()
            places[batch.add(requests[place])] = place
        for row, token, _ in batch.step():
            if token is not None:
                made[places[row]].append(token)
                if not goes_on(places[row], token):
                    batch.drop(row)
    return made


def _one(model: Decoder | EncoderDecoder, request: Request) -> Iterator[int]:
    if request.max_new_tokens < 1:
        return
    batch = WritingBatch(model)
    batch.add(request)
    while len(batch):
        for new in batch.step():
            if new.token is not None:
                yield new.token


def generate(
    model: Decoder,
    ids: Sequence[int],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    seed: int = 0,
    stop_ids: Collection[int] = (),
) -> Iterator[int]:
    """Yield at most `max_new_tokens` ids that follow `ids`, each as soon as it is known.

    Ends before an id in `stop_ids`, which is not yielded. When the context is full, the oldest half
    is forgotten, so that text may go on for ever; a longer prompt keeps its end. The same arguments
    give the same ids. Raises ValueError for an empty prompt or impossible settings.
    """
    return _one(model, Request(ids, max_new_tokens, temperature, top_k, seed, stop_ids))


def generate_target(
    model: EncoderDecoder,
    source: Sequence[int],
    start_id: int,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    seed: int = 0,
    stop_ids: Collection[int] = (),
) -> Iterator[int]:
    """Yield the ids of a target written from the ids of a source, each as soon as it is known.

    start_id stands before the target and is not yielded. Ends before an id in `stop_ids`, after
    `max_new_tokens`, or when the context is full. The source is read once. Raises ValueError for an
    empty or too long source, or impossible settings.
    """
    request = Request(source, max_new_tokens, temperature, top_k, seed, stop_ids, start_id)
    return _one(model, request)
