"""Muon for the matrices inside blocks, AdamW for embeddings, head and vectors.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon): the momentum of a matrix, made nearly
orthogonal by five steps of a Newton-Schulz iteration. Updates are scaled by 0.2 * sqrt(longer side)
(Liu et al., arXiv 2502.16982, section 2.2), so that their elements are as large as AdamW's usually
are: one learning rate and one weight decay serve both.

A matrix is worked on whole, by one rank, so the bits are the same whatever the number of ranks. The
momentum lies in the flat buffer of first moments; Muon leaves that of second moments at zero.
"""

import math

import torch
from torch import Tensor

from llm.training.optimizers.adamw import FlatAdamW
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.ways.flat import Flat, FlatLayout

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steepest at zero: small singular values grow fastest
ITERATIONS = 5
SMALLEST_NORM = 1e-7


def hidden_matrices(layout: FlatLayout) -> list[str]:
    """Names of the matrices inside blocks: not embeddings, nor the head, nor vectors."""
    return [
        name
        for name, shape, _ in layout.places
        if len(shape) == 2 and any(part.endswith("blocks") for part in name.split("."))
    ]


def orthogonalised(matrix: Tensor, kind: torch.dtype) -> Tensor:
    """U V^T of matrix = U S V^T, roughly: singular values end between 0.7 and 1.2. Same shape.

    kind: the type of the products; bfloat16 is enough.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(kind)
    x = x / x.norm().clamp(min=SMALLEST_NORM)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _deal(shapes: dict[str, tuple[int, ...]], ranks: int) -> list[list[str]]:
    """Which matrices each rank works on: the dearest first, each to whom has least to do."""

    def products(name: str) -> int:
        short, long = sorted(shapes[name])
        return short * short * (2 * long + short)

    hands: list[list[str]] = [[] for _ in range(ranks)]
    load = [0] * ranks
    for name in sorted(shapes, key=lambda one: (-products(one), one)):
        rank = load.index(min(load))
        hands[rank].append(name)
        load[rank] += products(name)
    return hands


class FlatMuon:
    """Muon on this rank's matrices, AdamW on its chunks of all else; `done` as in FlatAdamW.

    kind: the type in which matrices are made orthogonal. Raises ValueError when there are none.
    """

    crosses_shares = True  # matrices lie across the ranks' chunks

    def __init__(
        self, settings: OptimizerSettings, flat: Flat, done: int, kind: torch.dtype
    ) -> None:
        names = hidden_matrices(flat.layout)
        if not names:
            raise ValueError(
                "optimizer.type muon needs a model with matrices inside `blocks`; use adamw"
            )
        self.settings, self.kind = settings, kind
        self.others = FlatAdamW(settings, flat, done, without=names)
        shapes = {name: shape for name, shape, _ in flat.layout.places if name in names}
        self.mine = set(_deal(shapes, flat.group.size)[flat.group.rank])
        self.buffers = [
            dict(flat.layout.views(buffer))
            for buffer in (flat.parameters, flat.gradients[0], flat.first_moment)
        ]

    def step(self, learning_rate: float) -> None:
        """Update what is this rank's from the reduced gradient, which all ranks have finished."""
        self.others.step(learning_rate)
        momentum = self.settings.momentum
        for name in sorted(self.mine):
            values, gradient, moment = (views[name] for views in self.buffers)
            moment.lerp_(gradient, 1 - momentum)
            ahead = gradient.lerp(moment, momentum)  # Nesterov's
            update = orthogonalised(ahead, self.kind)
            scale = 0.2 * math.sqrt(max(update.shape))
            values.mul_(1 - learning_rate * self.settings.weight_decay)
            values.add_(update, alpha=-learning_rate * scale)
