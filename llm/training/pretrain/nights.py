"""Token shards by night, as training is given them."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


TOKENS = "tokens"


def inputs_of(nights: Sequence[Sequence[T]]) -> dict[str, list[T]]:
    """The step's inputs with the shards of nights: `tokens`, `tokens-0002`, `tokens-0003` ..."""
    names = [TOKENS, *(f"{TOKENS}-{number:04d}" for number in range(2, len(nights) + 1))]
    return {name: list(night) for name, night in zip(names, nights, strict=False)}


def nights_of(inputs: Mapping[str, Sequence[T]]) -> list[list[T]]:
    """The inverse of `inputs_of`; other inputs are left out."""
    return [list(inputs[name]) for name in sorted(inputs) if name.partition("-")[0] == TOKENS]
