"""What training will take, printed for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llm.words import counted, duration, size
from tasks.engine.plan import Planned


def print_costs(planned: Iterable[Planned], console: Console) -> None:
    """A block under the plan for each call whose costs it tells."""
    for item in planned:
        if item.costs is None:
            continue
        console.print(f"\nwhat {item.call} takes", highlight=False)
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for name, text in rows(item.costs):
            table.add_row(name, escape(text))
        console.print(table, highlight=False)


def rows(costs: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The lines of the block: what, and how much."""
    if "trained_parameters" in costs:
        trained, own = costs["trained_parameters"], costs["parameters"]
        head = ", and the head" if costs["and_head"] else ""
        yield "parameters", f"{own:,} with a vocabulary of {costs['vocabulary']:,}"
        yield "trained", f"{trained:,} numbers{head}: {trained / own:.1%} of the parameters"
        return
    done = costs["steps_done"]
    begun = f", {done:,} of them done" if done else ""
    yield "parameters", f"{costs['parameters']:,} with a vocabulary of {costs['vocabulary']:,}"
    yield "tokens", f"{costs['tokens']:,} in {counted(costs['steps'], 'step')}{begun}"
    yield "operations", f"{costs['flops']:.3g} (floating point, all steps)"
    yield "time", "unknown" if costs["seconds"] is None else duration(costs["seconds"])
    yield "memory", _memory(costs)
    kept, most = size(costs["artifact_bytes"]), size(costs["work_bytes"])
    free = costs["free_bytes"]
    little = " (not enough: see `penstock gc`, PENSTOCK_HOME)" if free < costs["work_bytes"] else ""
    yield "disk", f"{kept} in the end, {most} at most while it runs; {size(free)} free{little}"
    yield "from", costs["how"]


def _memory(costs: Mapping[str, Any]) -> str:
    least = size(costs["state_bytes"])
    device = f"{size(costs['device_bytes'])} of the GPU's" if costs["device_bytes"] else ""
    host = size(costs["memory_bytes"]) if costs["memory_bytes"] else ""
    told = " and ".join(text for text in (host, device) if text)
    return told or f"unknown; {least} at least, for parameters, moments and gradients"
