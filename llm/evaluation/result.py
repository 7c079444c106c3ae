"""The result of a suite, in one shape: metrics.json for people and programs, items.parquet to compare.

Every figure is a ratio of sums over items: bits over bytes, nats over tokens, right answers over
questions. So whatever is asked of a figure comes from the items' sums and weights: its value, its
value for a group of items, how far it would move with other items, and whether two models differ.

    items.parquet   figure         item  group  sum    weight
                    bits_per_byte  0a1f  docs   812.4  400.0
                    bits_per_byte  17c0  wiki   640.0  310.0

    value of the figure   (812.4 + 640.0) / (400.0 + 310.0)

An item is named by what it is (a document's id, a digest of a question), so that two models are
compared on the same items.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.corpus.documents import content_digest, read_table, write_rows
from llm.durable import write_json
from llm.evaluation.suite import Direction, Kind
from llm.step import BadInput, Context, StepResult, digest_of

ITEMS = pa.schema(
    [
        ("figure", pa.string()),
        ("item", pa.string()),
        ("group", pa.string()),
        ("sum", pa.float64()),
        ("weight", pa.float64()),
    ]
)
KEYS = ("figure", "item", "group")
METRICS_FILE, ITEMS_FILE = "metrics.json", "items.parquet"

NORMAL_95 = 1.959964  # how many standard errors to each side hold 95 %
POWER = 0.8  # how often a difference is seen that is as large as `smallest_difference`

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Items:
    """The items of one figure, sorted by name: their names, sums (N,) and weights (N,)."""

    names: tuple[str, ...]
    sums: Array
    weights: Array

    @property
    def value(self) -> float:
        """All sums over all weights: heavy items count for more."""
        return float(self.sums.sum() / self.weights.sum())


@dataclass(frozen=True)
class Part:
    """A figure of one group of items (see Figure)."""

    value: float
    items: int
    weight: float
    interval: tuple[float, float] | None

    @property
    def spread(self) -> float | None:
        """Half the width of the 95 % interval."""
        return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2


@dataclass(frozen=True)
class Figure(Part):
    """A figure of a model.

    value, in `unit`. better: "lower" or "higher". items: how many were scored. weight: what they weigh
    together (bytes, tokens, questions). interval: the 95 % interval, how far the value would move with
    other items of the same kind. smallest_difference: how much another model must differ that is
    measured on as many other items; on the same items less is seen (`llm.evaluation.comparison`). Both
    are None for fewer than two items. groups: by name.
    """

    name: str
    unit: str
    better: Direction
    smallest_difference: float | None
    groups: Mapping[str, Part]


@dataclass(frozen=True)
class Result:
    """What a suite or a baseline found out of one model. folder: where its files are."""

    folder: Path
    protocol: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Measured:
    """What a suite's `show` is given: results by model (base first, then tuned), and by baseline's title."""

    models: Mapping[str, Result]
    baselines: Mapping[str, Result]


def rows(
    figure: str,
    items: Sequence[str],
    groups: Sequence[str],
    sums: Sequence[float],
    weights: Sequence[float],
) -> pa.Table:
    """The rows of one figure for `write`."""
    columns: list[Any] = [[figure] * len(items), items, groups, sums, weights]
    return pa.table(dict(zip(ITEMS.names, columns, strict=True)), schema=ITEMS)


def write(
    context: Context,
    name: str,
    kinds: Sequence[Kind],
    tables: Sequence[pa.Table],
    protocol: str,
    noun: str = "item",
) -> StepResult:
    """Write metrics.json and items.parquet, show the figures on the run's page.

    name: of the suite or baseline. noun: what an item is, for the summary. A figure without an item is
    left out. Raises ValueError for an item that comes twice in a group of a figure.
    """
    table = _sorted(pa.concat_tables([ITEMS.empty_table(), *tables]))
    write_rows(context.out / ITEMS_FILE, table)
    figures = {kind.name: one for kind in kinds if (one := _figure(kind, table)) is not None}
    plain = {
        one.name: {k: v for k, v in asdict(one).items() if k != "name"} for one in figures.values()
    }
    write_json(context.out / METRICS_FILE, {"protocol": protocol, "figures": plain})
    if figures:
        context.report.table(name.replace("_", "-"), list(_shown(figures)), protocol)
    items = max((one.items for one in figures.values()), default=0)
    first = next(iter(figures.values()), None)
    summary = f"{first.value:.3f} {first.unit} on " if first is not None else ""
    return StepResult(
        counts={**{one.name: one.value for one in figures.values()}, f"{noun}s": items},
        content=digest_of([content_digest(table), protocol]),
        summary=summary
        + (f"{items:,} {noun}{'' if items == 1 else 's'}" if items else f"no {noun}"),
    )


def read(folder: Path) -> Result:
    """The figures of an artifact. Raises BadInput where it holds none."""
    path = folder / METRICS_FILE
    try:
        found = json.loads(path.read_text("utf8"))
        figures = {name: _from_json(name, one) for name, one in found["figures"].items()}
        return Result(folder, str(found["protocol"]), figures)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{path} cannot be read ({error!r}): make that artifact again") from error


def _from_json(name: str, figure: Mapping[str, Any]) -> Figure:
    def between(part: Mapping[str, Any]) -> dict[str, Any]:
        ends = part["interval"]
        return {**part, "interval": None if ends is None else (ends[0], ends[1])}

    groups = {group: Part(**between(part)) for group, part in figure["groups"].items()}
    return Figure(name=name, **{**between(figure), "groups": groups})


def read_items(folder: Path, figure: str, group: str | None = None) -> Items:
    """The items of a figure, or of one group of it. Raises BadInput where there is none."""
    table = read_table(folder / ITEMS_FILE, ITEMS)
    known = sorted(pc.unique(table["figure"]).to_pylist())
    if figure not in known:
        raise BadInput(
            f"{folder} has no item of the figure {figure!r}; it has {', '.join(known) or 'none at all'}"
        )
    table = _where(table, "figure", figure)
    groups = _groups(table)
    if group is not None and group not in groups:
        raise BadInput(
            f"{figure} has no item of the group {group!r}; there are {', '.join(map(repr, groups))}"
        )
    return items_of(table if group is None else _where(table, "group", group))


def items_of(table: pa.Table) -> Items:
    """The rows of one figure as arrays, by name. An item in several groups is told apart by them."""
    names, groups = table["item"].to_pylist(), table["group"].to_pylist()
    if len(set(names)) < len(names):
        names = [f"{name} {group}" for name, group in zip(names, groups, strict=True)]
    return Items(tuple(names), table["sum"].to_numpy(), table["weight"].to_numpy())


Term = tuple[Array, Array]
"""Sums and weights of items whose ratio is a figure, or a part of a difference of figures."""


def standard_error(terms: Sequence[Term]) -> Array:
    """Of the sum of the terms' ratios in each row, for items drawn at random: (R, N) each → (R,).

    That of the linearisation of each ratio (Cochran 1977, Sampling Techniques, section 2.11).
    """
    count = terms[0][0].shape[1]
    rest = np.zeros_like(terms[0][0])
    for sums, weights in terms:
        total = weights.sum(1, keepdims=True)
        rest += (sums - sums.sum(1, keepdims=True) / total * weights) / total
    error: Array = np.sqrt(np.square(rest).sum(1) * count / (count - 1))
    return error


def error_of(terms: Sequence[Term]) -> float:
    """`standard_error` of items (N,)."""
    return float(standard_error([(sums[None], weights[None]) for sums, weights in terms])[0])


def interval(items: Items) -> float | None:
    """Half the width of the 95 % interval of `items.value`; None for fewer than two items."""
    if len(items.sums) < 2:
        return None
    return NORMAL_95 * error_of([(items.sums, items.weights)])


def smallest_difference(error: float, confidence: float = 0.975) -> float:
    """The difference that is seen with POWER, where the difference's standard error is `error`.

    It is (z of confidence + z of power) * error (Miller 2024, Adding Error Bars to Evals, section 5,
    with one-sided confidence): below that a test on these items mostly says nothing.
    """
    normal = NormalDist()
    return (normal.inv_cdf(confidence) + normal.inv_cdf(POWER)) * error


def _figure(kind: Kind, table: pa.Table) -> Figure | None:
    own = _where(table, "figure", kind.name)
    groups = {group: _part(items_of(_where(own, "group", group))) for group in _groups(own)}
    items = items_of(own)
    whole = _part(items)
    if whole is None:
        return None
    half = interval(items)
    return Figure(
        **asdict(whole),
        name=kind.name,
        unit=kind.unit,
        better=kind.better,
        # Two models on items of their own: the errors of both count.
        smallest_difference=None
        if half is None
        else smallest_difference(math.sqrt(2) * half / NORMAL_95),
        groups={name: part for name, part in groups.items() if part is not None},
    )


def _part(items: Items) -> Part | None:
    """None where nothing has a weight."""
    if not items.weights.sum() > 0:
        return None
    value, half = items.value, interval(items)
    between = None if half is None else (value - half, value + half)
    return Part(value, len(items.names), float(items.weights.sum()), between)


def _where(table: pa.Table, column: str, value: str) -> pa.Table:
    return table.filter(pc.equal(table[column], value))


def _groups(table: pa.Table) -> list[str]:
    return sorted(pc.unique(table["group"]).to_pylist())


def _sorted(table: pa.Table) -> pa.Table:
    table = table.sort_by([(name, "ascending") for name in KEYS]).combine_chunks()
    if len(table) > 1:
        same = [pc.equal(table[name][1:], table[name][:-1]) for name in KEYS]
        twice = pc.and_(pc.and_(same[0], same[1]), same[2]).to_pylist()
        if True in twice:
            figure, item, group = (table[name][twice.index(True)].as_py() for name in KEYS)
            raise ValueError(f"item {item!r} comes twice in {figure}, group {group!r}")
    return table


def _shown(figures: Mapping[str, Figure]) -> Iterator[dict[str, Any]]:
    """A row for all items and each group, with the value of each figure and how many items it has."""
    first = next(iter(figures.values()))
    for group in (None, *(first.groups if len(first.groups) > 1 else ())):
        row: dict[str, Any] = {"group": "all" if group is None else group}
        for figure in figures.values():
            part = figure if group is None else figure.groups.get(group)
            row[figure.unit] = None if part is None else round(part.value, 4)
        row["items"] = (first if group is None else first.groups[group]).items
        yield row
