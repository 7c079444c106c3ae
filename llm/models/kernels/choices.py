"""Which elements a dropout zeroes, as numbers that kernels take: see `dropout`."""

from typing import NamedTuple, Self

import torch

WORD = 1 << 32


class Drop(NamedTuple):
    """The share that is zeroed (below 1), and the seed of the choices (64 bits)."""

    share: float
    seed: int

    @classmethod
    def drawn(cls, share: float) -> Self | None:
        """With a seed of PyTorch's generator, which a run sets; None where nothing is dropped."""
        return cls(share, int(torch.randint(1 << 62, (), device="cpu"))) if share else None

    @property
    def scale(self) -> float:
        """What is kept is multiplied by this."""
        return 1 / (1 - self.share)

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The seed's lower and upper half, and the share of 2^32."""
        return self.seed % WORD, self.seed // WORD, int(self.share * WORD)

    def after(self, count: int) -> "Drop":
        """The choices of the matrix that comes `count` after this one."""
        return Drop(self.share, (self.seed + count) % (1 << 62))
