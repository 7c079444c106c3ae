"""The sublayers of a fused layer: what each makes of the residual stream, and what it changes by.

pre-norm: y = x + drop(f(norm(x))); post-norm: y = norm(x + drop(f(x))). f ends in a linear map. Rows
are all positions of a batch, (B * T, d_model), in one piece.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llm.models import head_attention
from llm.models.kernels import operations
from llm.models.kernels.choices import Drop
from llm.models.kernels.operations import Given, Heads, Norm
from llm.models.layers import Layer
from llm.models.spans import Spans


@dataclass(frozen=True, kw_only=True)
class Sublayer:
    """A sublayer's parameters, by what they are part of. last: the linear map that f ends in.

    wanted (n,) int64: the positions whose states are wanted; None: all.
    """

    pre: bool
    norm: Norm
    last: Layer
    drop: Drop | None
    wanted: Tensor | None = None

    def inside(self) -> list[Tensor | None]:
        """The parameters of f but for the last map, in the order of what `change_back` gives."""
        raise NotImplementedError

    def change(self, x: Tensor) -> tuple[Tensor, Any]:
        """What f's last map reads, from x (rows, d_model); and what the way back needs."""
        raise NotImplementedError

    def change_back(
        self, slope: Tensor, kept: Any, base: Tensor | None
    ) -> tuple[Tensor, list[Given]]:
        """What x changes by, plus base (which may be lost), from the slope of what `change` gave."""
        raise NotImplementedError

    def chosen(self, x: Tensor) -> Tensor:
        """The rows of x that go on; here they are all that there are."""
        return x

    def spread(self, slope: Tensor) -> Tensor:
        """The way back of `chosen`: 0 for rows that went no further."""
        return slope

    def parameters(self) -> list[Tensor | None]:
        """All of them, in the order of what `backward` gives."""
        return [self.norm.weight, self.norm.bias, *self.inside(), *self.last.parameters()]

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """x (rows, d_model) → the same shape, and what `backward` is given."""
        normal, statistics = operations.norm(x, self.norm) if self.pre else (x, None)
        low = self.last.low(x.dtype)
        read, kept = self.change(normal)
        if self.drop is None:
            total = self.last.onto(self.chosen(x), read, low)
        else:
            changes = self.last.onto(None, read, low)
            total = operations.drop(changes, self.drop, self.chosen(x), self.wanted)
        if self.pre:
            return total, (x, statistics, read, low, kept)
        y, statistics = operations.norm(total, self.norm)
        return y, (total, statistics, read, low, kept)

    def backward(self, slope: Tensor, of_forward: Any) -> tuple[Tensor, list[Given]]:
        """What x changes by, and what autograd is given for the parameters."""
        normed, statistics, read, low, kept = of_forward
        made_norm: list[Given] = []
        if not self.pre:
            slope, *made_norm = operations.norm_slopes(slope, normed, self.norm, statistics)
        below = slope
        if self.drop is not None:
            below = operations.drop(slope, self.drop, None, self.wanted)
        made_last = self.last.learn(below, read)
        arriving, base = torch.mm(below, low), self.spread(slope)
        arrived, made = self.change_back(arriving, kept, None if self.pre else base)
        if self.pre:
            arrived, *made_norm = operations.norm_slopes(
                arrived, normed, self.norm, statistics, base
            )
        return arrived, [*made_norm, *made, *made_last]


@dataclass(frozen=True, kw_only=True)
class Attending(Sublayer):
    """Attention of positions to those of their own span. weights_drop: of who looks at whom.

    What is wanted is chosen here, for it may look at every position.
    """

    projection: Layer
    heads: Heads
    spans: Spans
    rotary: Tensor | None
    weights_drop: Drop | None

    def chosen(self, x: Tensor) -> Tensor:
        """The wanted rows."""
        return x if self.wanted is None else x.index_select(0, self.wanted)

    def spread(self, slope: Tensor) -> Tensor:
        """To the wanted rows."""
        if self.wanted is None:
            return slope
        rows = self.spans.rows
        return slope.new_zeros(rows, slope.shape[1]).index_copy_(0, self.wanted, slope)

    def inside(self) -> list[Tensor | None]:
        """The norms of heads, and the map to queries, keys and values."""
        return [*self.heads.norms, *self.projection.parameters()]

    def change(self, x: Tensor) -> tuple[Tensor, Any]:
        """What each position sees."""
        low = self.projection.low(x.dtype)
        packed = self.projection.onto(None, x, low)
        seen, kept = head_attention.attend(
            packed, self.heads, self.spans, self.rotary, self.weights_drop
        )
        return self.chosen(seen), (x, low, kept)

    def change_back(
        self, slope: Tensor, kept: Any, base: Tensor | None
    ) -> tuple[Tensor, list[Given]]:
        """See `Sublayer`."""
        x, low, of_attention = kept
        packed, *made_heads = head_attention.attend_slopes(
            self.spread(slope), self.heads, of_attention
        )
        made = self.projection.learn(packed, x)
        return _onto(base, packed, low), [*made_heads, *made]


@dataclass(frozen=True, kw_only=True)
class FeedForward(Sublayer):
    """activation(up(x)), or silu(gate(x)) * up(x) with a gate."""

    gate: Layer | None
    up: Layer
    activation: str

    def inside(self) -> list[Tensor | None]:
        """The maps that widen."""
        return [*(self.gate.parameters() if self.gate else ()), *self.up.parameters()]

    def change(self, x: Tensor) -> tuple[Tensor, Any]:
        """The hidden states of the layer."""
        up, gate = self.up.low(x.dtype), None
        raised = self.up.onto(None, x, up)
        if self.gate is None:
            hidden, *slopes = operations.activate(raised, self.activation)
        else:
            gate = self.gate.low(x.dtype)
            hidden, *slopes = operations.swiglu(self.gate.onto(None, x, gate), raised)
        return hidden, (x, up, gate, slopes)

    def change_back(
        self, slope: Tensor, kept: Any, base: Tensor | None
    ) -> tuple[Tensor, list[Given]]:
        """See `Sublayer`."""
        x, up, gate, slopes = kept
        raised = operations.times(slopes[-1], slope)
        made_up, made_gate = self.up.learn(raised, x), []
        arrived = _onto(base, raised, up)
        if self.gate is not None:
            gated = operations.times(slopes[0], slope)
            made_gate = self.gate.learn(gated, x)
            arrived.addmm_(gated, gate)
        return arrived, [*made_gate, *made_up]


def _onto(base: Tensor | None, slope: Tensor, low: Tensor) -> Tensor:
    """slope W, plus base, which is overwritten."""
    return torch.mm(slope, low) if base is None else base.addmm_(slope, low)
