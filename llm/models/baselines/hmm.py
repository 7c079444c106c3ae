"""A hidden Markov model over token ids, fitted by expectation-maximisation.

Rabiner, A Tutorial on Hidden Markov Models (1989), with the scaling of its section V: alpha and
beta are divided at each token by that token's probability given those before it, so that nothing
underflows and the divisors are the very probabilities that are asked for. Many documents go at
once, the longest first, so that those which have not ended are the first rows.

For fitting, documents are cut into pieces: as many rows of like length keep the processor busy.
A piece from within a document starts from a distribution of states of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
PIECE_TOKENS = 256
BATCH_TOKENS = 1 << 17  # of one batch: times the states, what alpha and beta take of memory


class _Batch(NamedTuple):
    """Rows of tokens, the longest first.

    tokens (T, B): padded with zeros. alive (T,): how many rows have a token there. inside (B,):
    1 for pieces from within a document, else 0. rows: their numbers among what was given.
    """

    tokens: Tensor
    alive: list[int]
    inside: Tensor
    rows: list[int]


class HMM:
    """States emit tokens: p(states, tokens) = product of transition and emission probabilities.

    start (2, S): the first state at a document's start, and of a piece from within one.
    transition (S, S): row i is where state i goes. emission (S, V): what each state emits.
    """

    def __init__(self, start: Tensor, transition: Tensor, emission: Tensor) -> None:
        self.start, self.transition, self.emission = start, transition, emission

    @classmethod
    def random(cls, states: int, frequencies: Tensor, seed: int) -> "HMM":
        """Different states about the text's own frequencies (V,), the same for the same seed.

        Draws are exponential: among states that differ less, the first passes find no way out.
        """
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int) -> Tensor:
            uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
            return (1e-3 - torch.log1p(-uniform)).to(frequencies.dtype)

        return cls(
            _shares(drawn(2, states)),
            _shares(drawn(states, states)),
            _shares(drawn(states, len(frequencies)) * frequencies),
        )

    def fit(
        self,
        documents: Sequence[Array],
        iterations: int,
        smoothing: float,
        progress: Callable[[int, float], None] = lambda done, nats: None,
    ) -> list[float]:
        """Improve in place; the mean nats per token that each pass found, before it improved.

        smoothing: tokens that every state is taken to have emitted beforehand, spread as those of
        all text are, and as many transitions to every state alike (0: the likelihood never falls
        from pass to pass; else its product with the prior never does). progress(passes, nats).
        """
        vocabulary, states = self.emission.shape[1], len(self.transition)
        prior = smoothing * frequencies_of(documents, vocabulary).to(self.emission)
        batches = list(_batches(*_pieces(documents)))
        total = sum(map(len, documents))
        found: list[float] = []
        for done in range(1, iterations + 1):
            start, transition, emission = (
                torch.zeros_like(each.T if each is self.emission else each, dtype=torch.float64)
                for each in (self.start, self.transition, self.emission)
            )
            nats = 0.0
            for batch in batches:
                nats += self._expect(batch, start, transition, emission)
            self.start = _shares(start + smoothing / states).to(self.start)
            self.transition = _shares(transition + smoothing / states).to(self.transition)
            self.emission = _shares(emission.T + prior).to(self.emission).contiguous()
            found.append(nats / total)
            progress(done, found[-1])
        return found

    def nats(self, documents: Sequence[Array]) -> list[Array]:
        """-ln p of each token given those before it in its document, exactly: (n,) float64 each."""
        result = [np.empty(0)] * len(documents)
        for batch in _batches(documents, [0] * len(documents)):
            nats = -self._forward_scales(batch).double().log().numpy()
            for column, row in enumerate(batch.rows):
                result[row] = nats[: len(documents[row]), column]
        return result

    def _forward_scales(self, batch: _Batch) -> Tensor:
        """p of each token given those before it in its row, (T, B)."""
        emitted = self.emission.T.contiguous()
        scales = torch.ones(batch.tokens.shape, dtype=emitted.dtype)
        alpha = self.start[batch.inside]
        for place, rows in enumerate(batch.alive):
            if place:
                alpha = alpha[:rows] @ self.transition
            alpha = alpha * emitted[batch.tokens[place, :rows]]
            scale = alpha.sum(1)
            alpha /= scale[:, None]
            scales[place, :rows] = scale
        return scales

    def _expect(self, batch: _Batch, start: Tensor, transition: Tensor, emission: Tensor) -> float:
        """Add what is expected to have happened in a batch to the counts; its nats.

        start (2, S), transition (S, S), emission (V, S).
        """
        emitted = self.emission.T[batch.tokens]  # (T, B, S)
        alphas = torch.zeros_like(emitted)
        scales = torch.ones(batch.tokens.shape, dtype=emitted.dtype)
        for place, rows in enumerate(batch.alive):
            before = (
                alphas[place - 1, :rows] @ self.transition if place else self.start[batch.inside]
            )
            alpha = before * emitted[place, :rows]
            scales[place, :rows] = scale = alpha.sum(1)
            torch.div(alpha, scale[:, None], out=alphas[place, :rows])
        beta = torch.ones_like(alphas[0])
        gammas = alphas  # in place: alpha * beta
        arriving = torch.zeros_like(transition)
        back = self.transition.T.contiguous()
        for place in range(len(batch.alive) - 1, -1, -1):
            if place + 1 < len(batch.alive):
                rows = batch.alive[place + 1]
                weight = emitted[place + 1, :rows] * beta[:rows]
                weight /= scales[place + 1, :rows, None]
                arriving += alphas[place, :rows].T @ weight
                beta[:rows] = weight @ back
            gammas[place] *= beta
        transition += arriving * self.transition
        start.index_add_(0, batch.inside, gammas[0].to(start.dtype))
        seen = torch.zeros(emission.shape, dtype=gammas.dtype)
        seen.index_add_(0, batch.tokens.flatten(), gammas.flatten(0, 1))
        emission += seen
        return -float(scales.double().log().sum())


def frequencies_of(documents: Sequence[Array], vocabulary: int) -> Tensor:
    """Each token's share of the text, one more of each counted so that none is 0: (V,) float64."""
    counts = np.bincount(np.concatenate(documents), minlength=vocabulary)
    return _shares(torch.from_numpy(counts + 1.0))


def _shares(weights: Tensor) -> Tensor:
    """Each row divided by its sum; rows of zeros stay."""
    return weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)


def _pieces(documents: Sequence[Array]) -> tuple[list[Array], list[int]]:
    """Documents cut into PIECE_TOKENS, and for each piece 1 if it is not a document's first."""
    pieces = [
        (document[first : first + PIECE_TOKENS], int(first > 0))
        for document in documents
        for first in range(0, len(document), PIECE_TOKENS)
    ]
    return [piece for piece, _ in pieces], [inside for _, inside in pieces]


def _batches(rows: Sequence[Array], inside: Sequence[int]) -> Iterator[_Batch]:
    """All rows with a token, the longest first, in batches of at most BATCH_TOKENS or one row."""
    order = sorted((n for n in range(len(rows)) if len(rows[n])), key=lambda n: -len(rows[n]))
    first = 0
    while first < len(order):
        longest = len(rows[order[first]])
        taken = order[first : first + max(1, BATCH_TOKENS // longest)]
        tokens = np.zeros((longest, len(taken)), dtype=np.int64)
        for column, row in enumerate(taken):
            tokens[: len(rows[row]), column] = rows[row]
        lengths = np.array([len(rows[row]) for row in taken])
        alive = (len(taken) - np.searchsorted(lengths[::-1], np.arange(longest), "right")).tolist()
        yield _Batch(
            torch.from_numpy(tokens), alive, torch.tensor([inside[row] for row in taken]), taken
        )
        first += len(taken)
