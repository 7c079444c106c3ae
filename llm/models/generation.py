"""Text from a model: one token after the other, with a cache of keys and values."""

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder


@torch.no_grad()
def next_token(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> int:
    """Draw a token from softmax(logits / temperature) of its `top_k` likeliest; logits (V,).

    temperature 0: the likeliest, the one with the smallest id of several.
    """
    if temperature == 0:
        return int(torch.argmax(logits))
    logits = logits.double().cpu() / temperature
    if top_k is not None and top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    probabilities = torch.softmax(logits, dim=-1)
    return int(torch.multinomial(probabilities, 1, generator=generator))


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
    if not len(ids):
        raise ValueError("the prompt is empty: start with the end-of-text token")
    _check(temperature, top_k)
    limit = model.config.context_length
    device = model.embedding.device
    generator = torch.Generator().manual_seed(seed)
    history = list(ids)
    cache = model.new_cache()
    new = history[-limit:]
    for _ in range(max_new_tokens):
        if cache.length + len(new) > limit:
            cache.length = 0  # positions start again: every kept token is read again
            new = history[-(limit // 2) :]
        with torch.no_grad():  # inside the loop: a generator's caller runs between two turns
            logits = model.last_logits(torch.tensor([new], device=device), cache)[0]
        token = next_token(logits, temperature, top_k, generator)
        if token in stop_ids:
            return
        history.append(token)
        new = [token]
        yield token


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
    if not len(source):
        raise ValueError("the source is empty: there is nothing to write a target from")
    _check(temperature, top_k)
    device = model.embedding.device
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        states = model.encode(torch.tensor([list(source)], device=device))
        cache = model.new_cache(states)
    token = start_id
    for _ in range(min(max_new_tokens, model.config.context_length)):
        with torch.no_grad():
            logits = model.last_logits(torch.tensor([[token]], device=device), cache)[0]
        token = next_token(logits, temperature, top_k, generator)
        if token in stop_ids:
            return
        yield token


def _check(temperature: float, top_k: int | None) -> None:
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(f"temperature {temperature} must be >= 0 and top_k {top_k} >= 1")
