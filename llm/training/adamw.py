"""AdamW over a rank's share of the flat buffers.

Written out: every operation is elementwise, so an element gets the same bits whatever share it is
in; the moments lie in shared buffers, so a checkpoint is a copy of three; and torch.optim's first
step would import its compiler (1.3 s in every process).
"""

import math
from collections.abc import Collection, Iterator

from llm.training.optimizer import OptimizerSettings
from llm.training.reduce import CHUNK, Flat


class FlatAdamW:
    """AdamW on this rank's chunks; `done` is how many steps the moments have behind them.

    without: names of parameters that another optimizer steps.
    """

    crosses_shares = False  # a step reads nothing of another rank's share

    def __init__(
        self, settings: OptimizerSettings, flat: Flat, done: int, without: Collection[str] = ()
    ) -> None:
        self.settings, self.flat, self.done = settings, flat, done
        decayed, size = flat.layout.decayed, flat.layout.size
        kinds = ((0, decayed, settings.weight_decay), (decayed, size, 0.0))
        self.spans = [
            (span, decay)
            for start, stop, decay in kinds
            for low, high in flat.layout.gaps_between(without, start, stop)
            for span in self._pieces(flat.my_slice(low, high))
        ]

    def _pieces(self, span: slice) -> Iterator[slice]:
        """Cut a span at whole chunks, wherever it starts: the four buffers stay in a core's cache,
        and vector instructions end at the same elements on every rank. A GPU takes all in one go.
        """
        first = span.start
        while first < span.stop:
            last = span.stop
            if self.flat.parameters.device.type == "cpu":
                last = min(last, (first // CHUNK + 1) * CHUNK)
            yield slice(first, last)
            first = last

    def step(self, learning_rate: float) -> None:
        """Update this rank's share of the parameters from the reduced gradient.

        Loshchilov and Hutter (arXiv 1711.05101), algorithm 2, arranged as in torch.optim.AdamW.
        """
        self.done += 1
        first_beta, second_beta = self.settings.betas
        step_size = learning_rate / (1 - first_beta**self.done)
        root = math.sqrt(1 - second_beta**self.done)
        flat = self.flat
        for span, decay in self.spans:
            gradient = flat.gradients[0][span]
            first, second = flat.first_moment[span], flat.second_moment[span]
            values = flat.parameters[span]
            values.mul_(1 - learning_rate * decay)
            first.lerp_(gradient, 1 - first_beta)
            second.mul_(second_beta).addcmul_(gradient, gradient, value=1 - second_beta)
            denominator = second.sqrt().div_(root).add_(self.settings.epsilon)
            values.addcdiv_(first, denominator, value=-step_size)
