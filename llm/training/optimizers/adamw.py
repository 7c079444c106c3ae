"""AdamW over a rank's share of the flat buffers.

One pass over memory by PyTorch's fused kernel, called by itself: torch.optim's first step would import
its compiler (1.3 s in every process), and knows tensors, not shares. The moments lie in shared
buffers, so a checkpoint is a copy of three.
"""

from collections.abc import Collection, Iterator

import torch

from llm.training.optimizers.settings import OptimizerSettings
from llm.training.ways.flat import CHUNK, Flat


class FlatAdamW:
    """AdamW on this rank's chunks; `done` is how many steps the moments have behind them.

    kind: of matrix products, of which it makes none. without: names of parameters that another
    optimizer steps.
    """

    crosses_shares = False  # a step reads nothing of another rank's share

    def __init__(
        self,
        settings: OptimizerSettings,
        flat: Flat,
        done: int,
        kind: torch.dtype = torch.float32,
        without: Collection[str] = (),
    ) -> None:
        self.settings, self.flat, self.done = settings, flat, done
        decayed, size = flat.layout.decayed, flat.layout.size
        kinds = ((0, decayed, settings.weight_decay), (decayed, size, 0.0))
        spans = [
            (
                decay,
                [
                    span
                    for low, high in flat.layout.gaps_between(without, start, stop)
                    for span in self._pieces(flat.my_slice(low, high))
                ],
            )
            for start, stop, decay in kinds
        ]
        self.spans = [(decay, parts) for decay, parts in spans if parts]

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
        flat = self.flat
        buffers = flat.parameters, flat.gradients[0], flat.first_moment, flat.second_moment
        first_beta, second_beta = self.settings.betas
        done = torch.tensor(float(self.done), device=flat.parameters.device)
        for decay, spans in self.spans:
            values, gradients, first, second = (
                [buffer[span] for span in spans] for buffer in buffers
            )
            torch._fused_adamw_(
                values,
                gradients,
                first,
                second,
                [],
                [done] * len(spans),
                lr=learning_rate,
                beta1=first_beta,
                beta2=second_beta,
                weight_decay=decay,
                eps=self.settings.epsilon,
                amsgrad=False,
                maximize=False,
            )
