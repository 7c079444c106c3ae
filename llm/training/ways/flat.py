"""Parameters, gradients and moments as flat buffers that the ranks of one machine share.

A recipe fixes the number of partial gradients (parts). Each is made whole by one process, in a
buffer of its own; buffers are added in the order of the parts, whoever does it. Elements are dealt
to the ranks in chunks of a fixed size, and every sum that crosses elements (the norm) is made chunk
by chunk, so that the result has the same bits whatever the number of processes.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llm.models.gradient_places import add_in_place
from llm.parts import load
from llm.training.optimizers.settings import Optimizer, OptimizerSettings
from llm.training.ranks.rank import Group

CHUNK = 1 << 15  # elements: a multiple of every vector width, so no chunk has a scalar tail
ALIGNMENT = 16  # elements (64 bytes): where a parameter may begin


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def learned(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that are not frozen, by name."""
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad)


@dataclass(frozen=True)
class FlatLayout:
    """Where each parameter lies in a flat buffer.

    Matrices come first, up to `decayed` elements (a multiple of CHUNK): they get weight decay,
    vectors (norm weights) do not. Gaps hold zeros for ever.
    """

    places: tuple[tuple[str, tuple[int, ...], int], ...]  # name, shape, offset in elements
    decayed: int
    size: int

    @classmethod
    def of(cls, model: nn.Module) -> "FlatLayout":
        """The layout of a model's parameters that are learned, in their own order within each kind."""
        places: list[tuple[str, tuple[int, ...], int]] = []
        offset, boundaries = 0, []
        for matrices in (True, False):
            for name, parameter in learned(model):
                if (parameter.ndim >= 2) == matrices:
                    places.append((name, tuple(parameter.shape), offset))
                    offset = _round_up(offset + parameter.numel(), ALIGNMENT)
            offset = _round_up(offset, CHUNK)
            boundaries.append(offset)
        return cls(tuple(places), *boundaries)

    @property
    def chunks(self) -> int:
        """How many chunks a buffer has."""
        return self.size // CHUNK

    def views(self, buffer: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each parameter's name and its view into `buffer` (size,)."""
        for name, shape, offset in self.places:
            yield name, buffer[offset : offset + math.prod(shape)].view(shape)

    def gaps_between(
        self, names: Collection[str], start: int, stop: int
    ) -> Iterator[tuple[int, int]]:
        """What lies from `start` to `stop` outside the parameters `names`: pairs of bounds."""
        for name, shape, offset in self.places:
            if name in names and start <= offset < stop:
                if start < offset:
                    yield start, offset
                start = _round_up(offset + math.prod(shape), ALIGNMENT)
        if start < stop:
            yield start, stop

    def share_of(self, rank: int, ranks: int) -> range:
        """The chunks that a rank reduces and steps: contiguous, as even as can be."""
        return range(rank * self.chunks // ranks, (rank + 1) * self.chunks // ranks)


class Flat:
    """The flat buffers of one training run, and this rank's part in working on them.

    parameters, first_moment, second_moment: (size,) float32; gradients: (parts, size) float32;
    losses, counts: (parts,) float64, the step's summed losses and of how much they are; stops, micro: (ranks,) float64, who
    is asked to stop, and rows of a forward pass.
    The model's parameters become views of `parameters`.
    """

    def __init__(self, model: nn.Module, parts: int, group: Group) -> None:
        self.layout = layout = FlatLayout.of(model)
        self.parts, self.group = parts, group
        device = next(model.parameters()).device
        if device.type != "cpu" and group.size > 1:
            raise ValueError(f"{group.size} processes cannot share {device}: set processes to 1")
        sizes = [layout.size] * (3 + parts)
        notes = [parts, parts, layout.chunks, group.size, group.size]
        # Notes stay in the processor's memory; on a GPU the wide buffers stay in its own.
        if device.type == "cpu":
            shared = group.share(4 * sum(sizes) + 8 * sum(notes))
            wide = shared[: 4 * sum(sizes)].view(torch.float32)
            small = shared[4 * sum(sizes) :].view(torch.float64)
        else:
            wide = torch.zeros(sum(sizes), device=device)
            small = torch.zeros(sum(notes), dtype=torch.float64)
        self.parameters, self.first_moment, self.second_moment, *gradients = wide.split(sizes)
        self.gradients = gradients
        self.losses, self.counts, self.squares, self.stops, self.micro = small.split(notes)
        self.mine = layout.share_of(group.rank, group.size)
        self._parameters = dict(learned(model))
        self._views = [
            [(self._parameters[name], view) for name, view in layout.views(buffer)]
            for buffer in gradients
        ]
        self._adopt()
        if device.type == "cpu":
            add_in_place(self._parameters.values())

    def _adopt(self) -> None:
        """Move the model's values into the shared buffer and make its parameters views of it."""
        for name, view in self.layout.views(self.parameters):
            if self.group.rank == 0:
                view.copy_(self._parameters[name].detach())
            self._parameters[name].data = view
        self.group.barrier()

    def release(self) -> None:
        """The model's gradients are autograd's again."""
        add_in_place(self._parameters.values(), wanted=False)

    def optimizer(self, settings: OptimizerSettings, done: int, kind: torch.dtype) -> Optimizer:
        """What steps the parameters, with `done` steps behind it. kind: of Muon's matrix products."""
        made: Optimizer = load("optimizer", settings.type)(settings, self, done, kind)
        return made

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {
            "parameters": self.parameters,
            "first_moment": self.first_moment,
            "second_moment": self.second_moment,
        }

    def collect(self, part: int) -> None:
        """From now on, gradients of backward passes add up in the (emptied) buffer of `part`."""
        self.gradients[part].zero_()
        for parameter, view in self._views[part]:
            parameter.grad = view

    def my_slice(self, start: int = 0, stop: int | None = None) -> slice:
        """The elements between `start` and `stop` that this rank works on."""
        last = self.layout.size if stop is None else stop
        low = min(max(self.mine.start * CHUNK, start), last)
        return slice(low, max(low, min(self.mine.stop * CHUNK, last)))

    def reduce(self) -> None:
        """Sum this rank's chunks over the parts into part 0, divided by all targets of the step.

        The parts' gradients are of summed nats, so this is the gradient of the mean over targets,
        however unevenly these lie. Chunks' sums of squares are noted for `norm`. Between barriers.
        """
        scale = 1.0 / (float(self.counts.sum()) or 1.0)
        for chunk in self.mine:
            span = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
            total = self.gradients[0][span]
            for other in self.gradients[1:]:
                total += other[span]
            total *= scale
            self.squares[chunk] = total.dot(total)

    def norm(self) -> float:
        """The Euclidean norm of the mean gradient, after every rank's `reduce`."""
        return math.sqrt(math.fsum(self.squares.tolist()))

    def loss(self) -> float:
        """Mean nats per target of the step."""
        return math.fsum(self.losses.tolist()) / (float(self.counts.sum()) or 1.0)

    def scale_gradient(self, factor: float) -> None:
        """Multiply this rank's share of the reduced gradient."""
        self.gradients[0][self.my_slice()] *= factor
