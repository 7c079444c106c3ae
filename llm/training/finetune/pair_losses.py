"""How surprised a model is by the targets of sources: a decoder behind them, an encoder-decoder by them."""

from collections.abc import Sequence

import torch

from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.tokens.rows import IGNORE

LIBRARIES = ("torch",)
READ_TOKENS = 4096  # scored in one pass

Ids = Sequence[int]


def pair_losses(
    model: Decoder | EncoderDecoder, start: int | None, pairs: Sequence[tuple[Ids, Ids]]
) -> tuple[list[float], list[float]]:
    """Nats of each target's tokens, and how many there are. start: what an encoder-decoder's stands behind.

    Both 0 of a pair that is longer than the context, or has a side without tokens.
    """
    nats, tokens = [0.0] * len(pairs), [0.0] * len(pairs)
    sizes = [_size(model, *pair) for pair in pairs]
    limit = model.config.context_length
    fits = [
        number
        for number, (source, target) in enumerate(pairs)
        if len(source) and len(target) and sizes[number] <= limit
    ]
    fits.sort(key=lambda number: -sizes[number])
    while fits:
        count = max(1, READ_TOKENS // sizes[fits[0]])
        chosen, fits = fits[:count], fits[count:]
        found = _nats(model, start, [pairs[number] for number in chosen])
        for number, one in zip(chosen, found, strict=True):
            nats[number], tokens[number] = one, float(len(pairs[number][1]))
    return nats, tokens


def _size(model: Decoder | EncoderDecoder, source: Ids, target: Ids) -> int:
    if isinstance(model, Decoder):
        return len(source) + len(target) - 1
    return max(len(source), len(target))


def _nats(
    model: Decoder | EncoderDecoder, start: int | None, pairs: Sequence[tuple[Ids, Ids]]
) -> list[float]:
    def stacked(rows: Sequence[Ids], filling: int = 0) -> torch.Tensor:
        length = max(map(len, rows))
        filled = [[*one, *[filling] * (length - len(one))] for one in rows]
        return torch.tensor(filled, device=model.embedding.device)

    if isinstance(model, Decoder):
        ids = [[*source, *target] for source, target in pairs]
        said = [[*[IGNORE] * (len(source) - 1), *target] for source, target in pairs]
        losses = model.token_losses(stacked([one[:-1] for one in ids]), stacked(said, IGNORE))
    else:
        assert start is not None, "an encoder-decoder's target starts from a token"
        losses = model.token_losses(
            stacked([[start, *target[:-1]] for _, target in pairs]),
            stacked([target for _, target in pairs], IGNORE),
            sources=stacked([source for source, _ in pairs]),
            source_segments=stacked([[1] * len(source) for source, _ in pairs]),
        )
    found: list[float] = losses.sum(-1).tolist()
    return found
