"""How long a device takes for a token, by what a model does for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm.training.scaling.law import non_negative


@dataclass(frozen=True)
class Throughput:
    """Seconds of training for a token: overhead + FLOPs for the token * seconds_per_flop.

    A device is far below its peak in small models and comes nearer to it in large ones: kernel
    launches, the optimizer's dispatch and the like are there for a model of any size, and are the
    overhead. Utilisation is (FLOPs / seconds) / peak, so it rises with size as this says.
    """

    overhead: float
    seconds_per_flop: float

    def seconds(self, flops_per_token: float) -> float:
        """Seconds for a token of a model, given its FLOPs for each (forward and backward)."""
        return self.overhead + self.seconds_per_flop * flops_per_token


def fit_throughput(measured: Sequence[tuple[float, float]]) -> Throughput:
    """The curve nearest to measured (FLOPs a token, seconds a token), in relative error.

    From models of a single size the overhead cannot be told and is 0, so that a larger model is
    expected to be slower than it will be. Raises ValueError where nothing was measured.
    """
    if not measured:
        raise ValueError("no run was measured: its speed is unknown")
    flops, seconds = np.array(measured, float).T
    unit = flops.mean()
    terms = np.stack((np.ones_like(flops), flops / unit), axis=1) / seconds[:, None]
    if len(set(flops.tolist())) == 1:
        terms[:, 0] = 0.0
    [(overhead, slope)], _ = non_negative(terms[None], np.ones_like(seconds))
    return Throughput(float(overhead), float(slope / unit))
