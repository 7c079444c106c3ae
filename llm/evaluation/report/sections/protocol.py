"""How the figures were measured."""

from collections.abc import Iterator, Mapping

from llm.evaluation.result import Measured
from llm.evaluation.section import Definitions, Section


def show(measured: Mapping[str, Measured]) -> Iterator[Section]:
    """The protocol of each suite and baseline; one that several models share stands there once."""
    told: dict[str, list[str]] = {}
    for suite, found in measured.items():
        of_models = {result.protocol for result in found.models.values()}
        for model, result in found.models.items():
            name = suite if len(of_models) == 1 else f"{suite}, {model}"
            told.setdefault(result.protocol, []).append(name)
    for found in list(measured.values())[:1]:
        for title, result in found.baselines.items():
            told.setdefault(result.protocol, []).append(title)
    rows = [(", ".join(dict.fromkeys(names)), words) for words, names in told.items()]
    if rows:
        yield Section("How it was measured", parts=[Definitions(rows)], wide=True)
