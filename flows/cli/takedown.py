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
    """Leave pages out of every corpus from now on, say who has seen them, and erase them."""
    from llm.corpus.erasure.takedown import Takedowns, address_entry, change_list, domain_entry
    from tasks.purge import purge as erase
    from tasks.takedown import find, list_path, note_seen

    entries = [address_entry(one) for one in url] + [domain_entry(one) for one in domain]
    if not (entries or purge or show):
        raise BadInput("name what is to go with --url or --domain, or give --list or --purge")
    if undo and (purge or not entries):
        raise BadInput("--undo goes with --url or --domain, and not with --purge")
    path = list_path(HOME)

    def change(known: Takedowns) -> Takedowns:
        for entry in entries:
            known = known.remove(entry) if undo else known.add(entry, reason, time.time())
        return known

    takedowns = change_list(path, change)
    console = Console()
    said: dict[str, Any] = {"digest": takedowns.digest}
    if not undo and (entries or purge):
        found = find(HOME.store, takedowns)
        takedowns = note_seen(HOME, found)
        said |= {"documents": len(found.addresses), "urls": sorted(found.urls)}
        if not as_json:
            console.print(
                f"{len(found.addresses):,} documents in the store at {len(found.urls):,} addresses "
                "are on the list; the next run leaves them out",
                highlight=False,
            )
    wanted = takedowns.entries if show or purge or not entries else ()
    listed = [one for one in takedowns.entries if one in wanted or one.entry in entries]
    said["entries"] = [dataclasses.asdict(one) for one in listed]
    if not as_json:
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
        if not as_json:
            _print_purged(console, said["purged"])
    if as_json:
        print(json.dumps(said, indent=1))


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
    for one in entries:
        for made in one.seen_by:
            doubt = "has seen" if made["certain"] else "may have seen (its tokens are gone)"
            where = f", {made['pointer']}" if made["pointer"] else ""
            console.print(
                f"{made['step']} {made['label']} {made['key'][:16]} of {_day(made['at'])}{where} "
                f"{doubt} {one.entry}",
                highlight=False,
                markup=False,
            )


def _print_purged(console: Console, told: dict[str, Any]) -> None:
    console.print(
        f"{told['documents']:,} documents erased: {len(told['rewritten'])} artifacts written anew "
        f"without them, {len(told['removed'])} removed that the next run makes again, "
        f"{len(told['folders'])} folders cleared",
        highlight=False,
    )
    console.print("what remains:")
    for one in told["remains"]:
        console.print(f"- {one}", highlight=False, markup=False)
    console.print("To make the corpus and the models again without them: penstock run RECIPE")


def _day(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M}"
