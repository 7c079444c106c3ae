"""`penstock takedown`: leave pages out of every corpus, say who has seen them, erase them."""

import dataclasses
import datetime
import json
import time
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.environment import HOME
from llm.step import BadInput
from llm.words import counted


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(takedown)


def takedown(
    url: list[str] = typer.Option([], help="An address to take down (repeatable)."),
    domain: list[str] = typer.Option(
        [], help="A domain to take down, with its subdomains (repeatable)."
    ),
    reason: str = typer.Option("", help="Why, for the list."),
    undo: bool = typer.Option(
        False, "--undo", help="Take --url and --domain off the list; only before they are purged."
    ),
    purge: bool = typer.Option(
        False, "--purge", help="Delete what is on the list from the store, for good."
    ),
    show: bool = typer.Option(False, "--list", help="Show the list."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of tables."),
) -> None:
    """Leave pages out of every corpus from now on, show which models saw them, and erase them."""
    from llm.corpus.erasure.takedown import Takedowns, address_entry, change_list, domain_entry
    from tasks.commands.purge import purge as erase
    from tasks.commands.takedown import find, list_path, note_seen

    entries = [address_entry(one) for one in url] + [domain_entry(one) for one in domain]
    if not (entries or purge or show):
        raise BadInput("say what to take down with --url or --domain, or give --list or --purge")
    if undo and (purge or not entries):
        raise BadInput("--undo needs --url or --domain, and cannot be combined with --purge")
    path = list_path(HOME)

    def change(known: Takedowns) -> Takedowns:
        for entry in entries:
            known = known.remove(entry) if undo else known.add(entry, reason, time.time())
        return known

    takedowns = change_list(path, change)
    console = Console(quiet=as_json)
    said: dict[str, Any] = {"digest": takedowns.digest}
    if not undo and (entries or purge):
        found = find(HOME.store, takedowns)
        takedowns = note_seen(HOME, found)
        said |= {"documents": len(found.addresses), "urls": sorted(found.urls)}
        _print_found(console, len(found.addresses), len(found.urls))
    wanted = takedowns.entries if show or purge or not entries else ()
    listed = [one for one in takedowns.entries if one in wanted or one.entry in entries]
    said["entries"] = [dataclasses.asdict(one) for one in listed]
    if undo:
        console.print("taken off the list; the next run may have them again")
    else:
        _print_list(console, listed)
    if purge:
        question = "Delete them from the store, for good?"
        if not (yes or typer.confirm(question, default=False, err=True)):
            raise typer.Exit(0)
        told = erase(HOME)
        said["purged"] = told.to_json()
        said["entries"] = [dataclasses.asdict(one) for one in Takedowns.load(path).entries]
        _print_purged(console, said["purged"])
    if as_json:
        print(json.dumps(said, indent=1))


def _print_found(console: Console, documents: int, addresses: int) -> None:
    console.print(
        f"{counted(documents, 'document')} in the store at "
        f"{counted(addresses, 'address', 'addresses')} match the list; the next run leaves them out",
        highlight=False,
    )


def _print_list(console: Console, entries: Sequence[Any]) -> None:
    if not entries:
        console.print("the takedown list is empty")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("entry", "since", "purged", "reason"):
        table.add_column(column, overflow="fold")
    for one in entries:
        purged = "" if one.purged_at is None else _day(one.purged_at)
        table.add_row(escape(one.entry), _day(one.added_at), purged, escape(one.reason))
    console.print(table)
    _print_seen(console, entries)


def _print_seen(console: Console, entries: Sequence[Any]) -> None:
    """A line a model, and one for all that was measured with them."""
    from tasks.stages.catalogue import holds

    seen: dict[tuple[str, str], dict[str, Any]] = {}
    covers: dict[tuple[str, str], list[str]] = {}
    for one in entries:
        for made in one.seen_by:
            name = (made["step"], made["key"])
            before = seen.get(name, made)
            seen[name] = {**made, "certain": made["certain"] or before["certain"]}
            covers.setdefault(name, []).append(one.entry)
    models = [name for name in seen if holds(name[0]) == "model"]
    table = Table(box=None, pad_edge=False)
    for column in ("model", "made", "in use as", "has seen"):
        table.add_column(column, overflow="fold")
    for name in sorted(models, key=lambda one: seen[one]["at"]):
        made, own = seen[name], covers[name]
        what = "all of them" if len(own) == len(entries) > 1 else ", ".join(own[:3])
        what += f" and {len(own) - 3} more" if what != "all of them" and len(own) > 3 else ""
        what += "" if made["certain"] else " perhaps: the tokens that it read are gone"
        label = f"{made['step']} {made['label']}".strip()
        table.add_row(
            escape(f"{label} {made['key'][:12]}"),
            _day(made["at"]),
            escape(made["pointer"] or ""),
            escape(what),
        )
    if models:
        console.print(table)
    others = len(seen) - len(models)
    if others:
        noun = "measurement or report was" if others == 1 else "measurements and reports were"
        console.print(f"{others} {noun} made from them: --json names each", highlight=False)


def _print_purged(console: Console, told: dict[str, Any]) -> None:
    console.print(
        f"{counted(told['documents'], 'document')} erased: "
        f"{counted(len(told['rewritten']), 'artifact')} rewritten without them, "
        f"{counted(len(told['removed']), 'artifact')} removed (the next run makes them again), "
        f"{counted(len(told['folders']), 'folder')}, records and logs cleared",
        highlight=False,
    )
    console.print("what remains:")
    for one in told["remains"]:
        console.print(f"- {one}", highlight=False, markup=False)
    console.print("To make the corpus and the models again without them: penstock run RECIPE")


def _day(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M}"
