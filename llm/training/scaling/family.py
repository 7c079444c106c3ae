"""Models of one family: a recipe's model, narrower and wider, with heads of the same size."""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from llm.models.config import ModelConfig, ModelSettings

MULTIPLE = 8  # what widths that do not come out even are rounded to: kernels like it


@dataclass(frozen=True)
class Family:
    """Models that differ from `base` in how large they are alone; vocabulary: of the tokenizer.

    A member with h heads is h/heads times as wide and as deep as the base, so the ratio of width to
    depth stays (Kaplan et al., arXiv 2001.08361, find loss nearly flat in it), as do the size of a
    head, the ratio of the feed-forward layer, and that of query to key heads (one key head stays
    one). Example: 12 heads, 12 layers, d_model 768 → 6 heads, 6 layers, d_model 384.
    """

    base: ModelSettings
    vocabulary: int

    def config(self, model: ModelSettings) -> ModelConfig:
        """The model with nothing left open."""
        return model.resolve(self.vocabulary)

    def members(self) -> Iterator[ModelSettings]:
        """All of them, smallest first, without end; each has more parameters than the one before."""
        group = self._group
        return (self._member(heads) for heads in itertools.count(group, group))

    def spread(self, smallest: float, factor: float) -> Iterator[ModelSettings]:
        """Members from `smallest` parameters on, each with `factor` times the one before or more."""
        least = smallest
        for model in self.members():
            parameters = self.config(model).parameters
            if parameters >= least:
                yield model
                least = parameters * factor

    @property
    def _group(self) -> int:
        """By how many heads the next member is wider: all that share a key head."""
        kv_heads = self.base.kv_heads or self.base.resolved_heads
        return 1 if kv_heads == 1 else self.base.resolved_heads // kv_heads

    def _member(self, heads: int) -> ModelSettings:
        base = self.base
        whole = base.resolved_heads
        if heads == whole:
            return base

        def scaled(width: int) -> int:
            exact, rest = divmod(width * heads, whole)
            return exact if not rest else MULTIPLE * max(1, round(exact / MULTIPLE))

        kv_heads = base.kv_heads
        if kv_heads is not None and kv_heads != 1:
            kv_heads = heads // self._group
        return dataclasses.replace(
            base,
            layers=max(1, round(base.layers * heads / whole)),
            d_model=scaled(base.d_model),
            heads=heads,
            kv_heads=kv_heads,
            hidden=None if base.hidden is None else scaled(base.hidden),
        )
