"""How surprised a model is by each token of texts of any length: sliding windows, batched.

A text longer than the context is read in windows that start `stride` tokens apart, and a token is
scored in the first window that reaches it. With context 8 and stride 4:

    tokens    0  1  2  3  4  5  6  7  8  9 10 11 12 13
    window 1 [reads 0..7       scores 1..8]
    window 2             [reads 4..11      scores 9..12]
    window 3                         [reads 8..12, scores 13]

so every token but the first is scored once, given at least context - stride + 1 tokens, or all
there are. A smaller stride costs more and flatters more: it belongs to the metric's name.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from llm.models.threads import one_thread
from llm.step import BadInput
from llm.tokens.plain_text import encode_texts
from llm.tokens.special import END_OF_TEXT

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

# Tokens in one forward pass: enough to keep the device busy, few enough to stay in the caches.
CPU_BATCH_TOKENS = 2048
CUDA_BATCH_TOKENS = 131_072


class CausalModel(Protocol):
    """What is asked of a model: states of each token and those before it, and what they make of a target."""

    embedding: nn.Parameter

    def hidden_states(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) → what the head reads, (B, T, d_model)."""

    def row_losses(self, x: Tensor, targets: Tensor) -> Tensor:
        """-ln p(target) of hidden states (N, d_model): (N,) float32 in nats."""


def after_start(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """Ids of each text after <|endoftext|>: (1 + tokens,) int64. Raises BadInput where there is no such token."""
    start = tokenizer.token_to_id(END_OF_TEXT)
    if start is None:
        raise BadInput(f"the model's tokenizer has no {END_OF_TEXT}, which starts every document")
    encoded = encode_texts(tokenizer, texts)
    return [np.array([start, *encoding.ids], dtype=np.int64) for encoding in encoded]


class Window(NamedTuple):
    """Reads tokens begin..end-1 of a text and scores the tokens first..end (first > begin)."""

    text: int
    begin: int
    first: int
    end: int


def windows(text: int, tokens: int, context_length: int, stride: int) -> Iterator[Window]:
    """The windows of one text of `tokens` tokens, of which the first is not scored."""
    if not 1 <= stride <= context_length:
        raise ValueError(
            f"a stride of {stride} tokens leaves gaps or stands still: it must be 1 to the context "
            f"length, {context_length}"
        )
    scored = 1
    for begin in range(0, tokens, stride):
        end = min(begin + context_length, tokens - 1)
        if end < scored:
            return
        yield Window(text, begin, scored, end)
        scored = end + 1


def score(
    model: CausalModel,
    texts: Sequence[np.ndarray],
    context_length: int,
    stride: int,
    batch_tokens: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    wanted: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """-ln p of every token of each text but its first, given those before it: float64, nats.

    texts: arrays of ids (n,), n >= 1; the answers are (n - 1,). wanted: bool (n - 1,) of each text,
    the tokens that are scored; others get 0. progress(done, total): scored tokens.

    On a CPU each thread scores a batch of its own: threads that share operations would wait for each
    other thousands of times. So the figures do not depend on how many threads there are.
    """
    if wanted is None:
        wanted = [np.ones(len(text) - 1, dtype=bool) for text in texts]
    nats = [np.zeros(len(text) - 1) for text in texts]
    device = model.embedding.device
    if batch_tokens is None:
        batch_tokens = CUDA_BATCH_TOKENS if device.type == "cuda" else CPU_BATCH_TOKENS
    plan = [
        window
        for index, text in enumerate(texts)
        for window in windows(index, len(text), context_length, stride)
        if wanted[index][window.first - 1 : window.end].any()
    ]
    # Windows of like length share a batch, so that hardly anything is padding.
    plan.sort(key=lambda window: window.begin - window.end)
    total, done = sum(int(each.sum()) for each in wanted), 0

    def losses_of(batch: Sequence[Window]) -> np.ndarray:
        return _window_losses(model, texts, wanted, batch, device)

    batches = list(_batches(plan, batch_tokens))
    with _in_threads(device) as in_turn:
        for batch, losses in zip(batches, in_turn(losses_of, batches), strict=True):
            taken = 0
            for window in batch:
                span = slice(window.first - 1, window.end)
                chosen = wanted[window.text][span]
                count = int(chosen.sum())
                nats[window.text][span][chosen] = losses[taken : taken + count]
                taken += count
            done += taken
            progress(done, total)
    return nats


@contextmanager
def _in_threads(device: torch.device) -> Iterator[Callable[..., Iterator[np.ndarray]]]:
    """A `map` whose calls are made by as many threads as PyTorch may use, on a CPU."""
    threads = torch.get_num_threads()
    if device.type != "cpu":
        yield map
        return
    with (
        one_thread(),
        ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            yield pool.map
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(plan: Sequence[Window], batch_tokens: int) -> Iterator[Sequence[Window]]:
    """Cut the plan, longest windows first, so that rows times the longest is <= batch_tokens."""
    start = 0
    while start < len(plan):
        longest = plan[start].end - plan[start].begin
        rows = max(1, batch_tokens // longest)
        yield plan[start : start + rows]
        start += rows


@torch.inference_mode()
def _window_losses(
    model: CausalModel,
    texts: Sequence[np.ndarray],
    wanted: Sequence[np.ndarray],
    batch: Sequence[Window],
    device: torch.device,
) -> np.ndarray:
    """-ln p of the scored tokens of all windows, one window after the other (S,) float64."""
    longest = batch[0].end - batch[0].begin
    tokens = np.zeros((len(batch), longest), dtype=np.int64)
    scored = np.zeros((len(batch), longest), dtype=bool)
    targets = []
    for row, window in enumerate(batch):
        text = texts[window.text]
        length = window.end - window.begin
        # What follows the row's end is padding: a causal model never sees it.
        tokens[row, :length] = text[window.begin : window.end]
        chosen = wanted[window.text][window.first - 1 : window.end]
        scored[row, window.first - 1 - window.begin : length] = chosen
        targets.append(text[window.first : window.end + 1][chosen].astype(np.int64))
    x = model.hidden_states(torch.from_numpy(tokens).to(device))  # (B, T, d_model)
    # Only scored positions go through the head: with a stride of half the context that is half.
    x = x[torch.from_numpy(scored).to(device)]  # (S, d_model)
    wanted_ids = torch.from_numpy(np.concatenate(targets)).to(device)
    return model.row_losses(x, wanted_ids).double().cpu().numpy()
