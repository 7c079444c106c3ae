"""Keys and values of rows of different lengths, which come and go: what generation remembers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from llm.models.config import ModelConfig
from llm.models.language_model import Cache


class RowCache:
    """Row n lies at slot n, its first position at place 0; a row that leaves is replaced by the last.

    lengths: how many positions of each row are filled. source_lengths: the same of the sources, for
    a model that looks at some. Places beyond a row's length hold anything.
    """

    def __init__(self, config: ModelConfig, like: Tensor) -> None:
        empty = (2 * config.layers, 0, config.kv_heads, 0, config.head_dim)
        self._own = like.new_empty(empty)  # keys and values of the layers in turn
        self._sources = like.new_empty(empty)
        self._longest = config.context_length
        self.lengths: list[int] = []
        self.source_lengths: list[int] = []

    def add(self, lengths: Sequence[int], source_lengths: Sequence[int]) -> list[int]:
        """New rows of these lengths, to be filled with `fill`: their slots."""
        first = len(self.lengths)
        self.lengths += lengths
        self.source_lengths += source_lengths
        return list(range(first, len(self.lengths)))

    def fill(self, slots: Sequence[int], read: Cache) -> None:
        """Set the first positions of rows to what a model's pass over them left in `read`."""
        length = read.layers[0].keys.shape[2]
        self._own = self._room(self._own, length)
        places = torch.tensor(slots, device=self._own.device)
        for number, layer in enumerate(read.layers):
            self._own[2 * number, places, :, :length] = layer.keys
            self._own[2 * number + 1, places, :, :length] = layer.values

    def fill_sources(self, slots: Sequence[int], seen: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Set what each layer looks at: keys and values (B, K, S, D) of the rows' sources."""
        length = seen[0][0].shape[2]
        self._sources = self._room(self._sources, length)
        places = torch.tensor(slots, device=self._sources.device)
        for number, (keys, values) in enumerate(seen):
            self._sources[2 * number, places, :, :length] = keys
            self._sources[2 * number + 1, places, :, :length] = values

    def remove(self, slot: int) -> None:
        """Take a row away; the last row moves to its slot."""
        last = len(self.lengths) - 1
        for held in (self._own, self._sources):
            if slot != last and held.shape[1]:
                held[:, slot] = held[:, last]
        for lengths in (self.lengths, self.source_lengths):
            lengths[slot] = lengths[last]
            lengths.pop()

    def select(self, slots: Sequence[int], sources: bool = True) -> None:
        """Let the rows be copies of those at these slots; sources: whether theirs are others, too."""
        ends = max(self.lengths), max(self.source_lengths)
        self.lengths = [self.lengths[slot] for slot in slots]
        self.source_lengths = [self.source_lengths[slot] for slot in slots]
        self._own = self._selected(self._own, slots, ends[0])
        if sources:
            self._sources = self._selected(self._sources, slots, ends[1])

    def _selected(self, held: Tensor, slots: Sequence[int], end: int) -> Tensor:
        if not end:
            return held
        rows = torch.tensor(slots, device=held.device)
        chosen = held[:, :, :, :end].index_select(1, rows)
        held = self._room(held, end)
        held[:, : len(slots), :, :end] = chosen
        return held

    def make_room(self) -> None:
        """Make room for one more position of every row."""
        self._own = self._room(self._own, max(self.lengths) + 1)

    def layer(self, number: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values (B, K, end, D) of a layer: writing to them writes to the cache."""
        rows = len(self.lengths)
        return self._own[2 * number, :rows, :, :end], self._own[2 * number + 1, :rows, :, :end]

    def sources(self, number: int) -> tuple[Tensor, Tensor]:
        """Keys and values (B, K, S, D) of what a layer looks at."""
        rows, end = len(self.lengths), max(self.source_lengths)
        held = self._sources
        return held[2 * number, :rows, :, :end], held[2 * number + 1, :rows, :, :end]

    def _room(self, held: Tensor, length: int) -> Tensor:
        """`held` for all rows and at least `length` places: itself, or a copy that is larger by half."""
        slots, places = held.shape[1], held.shape[3]
        rows = len(self.lengths)
        if rows <= slots and length <= places:
            return held
        if rows > slots:
            rows = max(rows, slots + slots // 2)
        if length > places:
            length = min(max(length, 64, places + places // 2), max(length, self._longest))
        shape = (held.shape[0], max(rows, slots), held.shape[2], max(length, places), held.shape[4])
        larger = held.new_zeros(shape)
        larger[:, :slots, :, :places] = held
        return larger
