"""Beam search: the likeliest whole texts that a model can write, many rows and beams in one pass.

Scores and endings are those of transformers' `generate(num_beams=...)`: a text's score is the sum of
its tokens' ln p, the stop token's included, divided by length ** length_penalty; of the `count`
likeliest continuations of a row, those that end are kept, and the others' places go to the next
likeliest. A row has ended when it has `count` texts and no beam could still become better than the
worst of them, as estimated from the beam's score so far: then it leaves the batch. With
early_stopping it ends as soon as it has `count` texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import ROWS, Request, read_prompts, read_sources, threads_for
from llm.models.one_token import OneToken
from llm.models.row_cache import RowCache

OUT = -1e9  # the score of beams that there are not yet: all of a row begin alike


@dataclass(frozen=True)
class Beams:
    """How texts are searched for. count: beams of a row, and texts that come back, at most.

    length_penalty: above 0 for longer texts, below for shorter ones; 0: the plain sum.
    Raises ValueError for fewer than one beam.
    """

    count: int = 4
    length_penalty: float = 1.0
    early_stopping: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"beam search needs at least one beam, not {self.count}")


class Found(NamedTuple):
    """A text: its ids without the stop token, its score, and whether a stop token ended it."""

    ids: list[int]
    score: float
    ended: bool


class _Token(NamedTuple):
    """A token with what stands before it: beams share their beginnings."""

    before: "_Token | None"
    token: int


@dataclass
class _Row:
    place: int
    request: Request
    most: int
    beams: list[_Token | None]
    found: list[Found] = field(default_factory=list)


@torch.inference_mode()
def beam_search(
    model: Decoder | EncoderDecoder, requests: Sequence[Request], beams: Beams, rows: int = ROWS
) -> list[list[Found]]:
    """The best texts of each request, the best first, at most `rows` beams at a time.

    A decoder's prompt that leaves less room than half of the context keeps its end. Raises ValueError
    for a source that is longer than the context, and for requests that are to be drawn.
    """
    for one in requests:
        if one.temperature > 0:
            raise ValueError(f"beam search draws nothing: temperature {one.temperature} must be 0")
    found: list[list[Found]] = [[] for _ in requests]
    order = sorted(range(len(requests)), key=lambda place: -len(requests[place].ids))
    order = [place for place in order if requests[place].max_new_tokens > 0]
    together = max(1, rows // beams.count)
    one_token = OneToken(model)
    for first in range(0, len(order), together):
        places = order[first : first + together]
        for row in _search(model, one_token, [(at, requests[at]) for at in places], beams):
            found[row.place] = row.found
    return found


def _search(
    model: Decoder | EncoderDecoder,
    one_token: OneToken,
    requests: Sequence[tuple[int, Request]],
    beams: Beams,
) -> list[_Row]:
    """Write rows to their ends."""
    count = beams.count
    cache = RowCache(model.config, model.embedding.new_empty(0, dtype=model.compute_dtype))
    rows, logits = _begin(model, cache, requests, count)
    ended: list[_Row] = []
    scores = torch.full((len(rows), count), OUT, device=model.embedding.device)
    scores[:, 0] = 0
    tokens = [row.request.start_id or 0 for row in rows for _ in range(count)]
    stops = max(len(row.request.stop_ids) for row in rows)
    step = 0
    while rows:
        with threads_for(model, len(tokens)):
            if logits is None:
                logits = one_token.logits(tokens, cache)
            likely = torch.log_softmax(logits, -1).view(len(rows), count, -1) + scores[:, :, None]
            vocabulary = likely.shape[-1]
            kept = min(max(2, 1 + stops) * count, count * vocabulary)
            best, at = likely.flatten(1).topk(kept)
        logits = None
        step += 1
        going, slots, tokens, next_scores = [], [], [], []
        for number, (row, sums, places) in enumerate(
            zip(rows, best.tolist(), at.tolist(), strict=True)
        ):
            parents = [divmod(place, vocabulary) for place in places]
            live = _continue(row, sums, parents, step, beams)
            if live is None:
                ended.append(row)
                continue
            going.append(row)
            slots += [number * count + parent for parent, _, _ in live]
            tokens += [token for _, token, _ in live]
            next_scores.append([score for _, _, score in live])
        if going:
            cache.select(slots, sources=len(going) < len(rows))
            scores = torch.tensor(next_scores, device=scores.device)
        rows = going
    return ended


def _begin(
    model: Decoder | EncoderDecoder,
    cache: RowCache,
    requests: Sequence[tuple[int, Request]],
    count: int,
) -> tuple[list[_Row], Tensor | None]:
    """Read what is written from, once a row; logits (rows * count, V) where the first are known."""
    limit = model.config.context_length
    rows, ids = [], []
    for place, request in requests:
        most = min(request.max_new_tokens, limit)
        read = list(request.ids)
        if isinstance(model, Decoder):
            read = read[-max(limit // 2, limit - most + 1) :]
            most = min(most, limit - len(read) + 1)
        if isinstance(model, EncoderDecoder) != (request.start_id is not None):
            raise ValueError("a start_id is given for an encoder-decoder, and for no other model")
        rows.append(_Row(place, request, most, [None] * count))
        ids.append(read)
    each = [slot for slot in range(len(rows)) for _ in range(count)]
    if isinstance(model, EncoderDecoder):
        read_sources(model, cache, ids)
        cache.select(each)
        return rows, None
    logits = read_prompts(model, cache, ids)
    cache.select(each)
    return rows, logits.repeat_interleave(count, dim=0)


def _continue(
    row: _Row,
    sums: Sequence[float],
    parents: Sequence[tuple[int, int]],
    step: int,
    beams: Beams,
) -> list[tuple[int, int, float]] | None:
    """Note what ends; the beams that go on as (parent, token, sum of ln p), None: the row has ended.

    parents: of each continuation, the likeliest first, its beam and its token.
    """
    worth = step**beams.length_penalty
    live: list[tuple[int, int, float]] = []
    for rank, (total, (parent, token)) in enumerate(zip(sums, parents, strict=True)):
        stops = token in row.request.stop_ids
        if stops or step == row.most:
            if rank < beams.count:
                end = row.beams[parent] if stops else _Token(row.beams[parent], token)
                row.found.append(Found(_ids(end), total / worth, stops))
        elif len(live) < beams.count:
            live.append((parent, token, total))
    row.found = sorted(row.found, key=lambda one: -one.score)[: beams.count]
    if len(live) < beams.count:
        return None
    full = len(row.found) == beams.count
    if full and (beams.early_stopping or live[0][2] / worth <= row.found[-1].score):
        return None
    row.beams = [_Token(row.beams[parent], token) for parent, token, _ in live]
    return live


def _ids(end: _Token | None) -> list[int]:
    ids = []
    while end is not None:
        ids.append(end.token)
        end = end.before
    return ids[::-1]
