"""Commands that look into a corpus and tune its rules: whatif, browse."""

import json
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from flows.cli.printing import harmless_value
from flows.environment import HOME
from llm.step import BadInput
from llm.words import counted, size

EXCERPT = 600  # characters
DIFF_LINES = 40
JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")
SET = typer.Option(
    [],
    "--set",
    help="Change a rule: clean.filters.gopher_quality.min_words=30, clean.hooks.mine.min=0.4.",
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (whatif, browse):
        app.command()(command)


def whatif(
    recipe: str = typer.Argument("demo", help="Path or name of a recipe that has been run."),
    overrides: list[str] = SET,
    as_json: bool = JSON,
) -> None:
    """Show what each rule keeps and drops, now and with other thresholds, without reading text."""
    from llm.corpus.inspection.browse import left_out
    from llm.corpus.inspection.whatif import whatif as compare
    from tasks.commands.corpus import corpus_of, decide_values, find_run, with_changes

    record = find_run(HOME, recipe)
    changed_recipe, changed = with_changes(record, recipe, overrides)
    nights = corpus_of(HOME, record)
    told = compare(
        [
            (night.values, decide_values(night.values, changed_recipe), night.inputs)
            for night in nights
        ],
        left_out(nights),
    )
    changes = [{"path": path, "before": old, "after": new} for path, old, new in changed]
    if as_json:
        print(json.dumps({"run": record.id, "changes": changes, **told}, indent=1))
        return
    console = Console()
    console.print(f"run {record.id}", highlight=False)
    for one in changes:
        console.print(escape(f"{one['path']}: {one['before']} → {one['after']}"), highlight=False)
    console.print(_whatif_table(told))
    if changes:
        moved = told["moved"]
        console.print(
            f"{_amount(moved['in'])} would come in, {_amount(moved['out'])} would go",
            highlight=False,
        )
    console.print(
        "[dim]alone: all that a rule drops by itself; first: what it is the first to drop; only: "
        "what would be kept without it[/dim]",
        highlight=False,
    )


def _whatif_table(told: dict[str, Any]) -> Table:
    """Rules that drop something, before or after; "7 → 15" where that differs."""
    from llm.corpus.inspection.whatif import by_rule

    table = Table(box=None, pad_edge=False)
    table.add_column("rule", overflow="fold")
    for name in ("alone", "first", "only"):
        table.add_column(name, justify="right")
        table.add_column("MB", justify="right")
    before, after = by_rule(told["before"]), by_rule(told["after"])
    silent = 0
    for rule in {**after, **before}:
        sides = before.get(rule), after.get(rule)
        if not any(side and side["alone"]["documents"] for side in sides):
            silent += 1
            continue
        cells = [
            _change([None if side is None else side[name] for side in sides], unit)
            for name in ("alone", "first", "only")
            for unit in ("documents", "bytes")
        ]
        table.add_row(escape(rule), *cells, style="" if sides[0] == sides[1] else "bold")
    for name, pair in (
        ("kept", [told[side]["kept"] for side in ("before", "after")]),
        ("in", [told[side] for side in ("before", "after")]),
    ):
        cells = [_change(pair, unit) for unit in ("documents", "bytes")]
        table.add_row(name, "", "", *cells, style="bold")
    table.caption = (
        f"{counted(silent, 'more rule drops', 'more rules drop')} nothing" if silent else None
    )
    table.caption_justify = "left"
    return table


def _change(pair: Sequence[dict[str, int] | None], unit: str) -> str:
    said = [
        "off"
        if side is None
        else f"{side[unit]:,}"
        if unit == "documents"
        else f"{side[unit] / 1e6:,.2f}"
        for side in pair
    ]
    return said[0] if said[0] == said[1] else " → ".join(said)


def _amount(size: dict[str, int]) -> str:
    """Documents and bytes, for people: "12 (0.3 MB)"."""
    if not size["documents"]:
        return "0"
    return f"{size['documents']:,} ({size['bytes'] / 1e6:.2f} MB)"


def browse(
    corpus: str = typer.Argument("demo", help="A recipe (its newest run), a snapshot or a run."),
    reason: str | None = typer.Option(
        None, help="Only what was dropped for this: a rule, or a preset for all of its rules."
    ),
    kept: bool = typer.Option(False, "--kept", help="Only what was kept."),
    dropped: bool = typer.Option(False, "--dropped", help="Only what was dropped."),
    source: str | None = typer.Option(None, help="Only of this source."),
    count: int = typer.Option(3, help="Documents of each reason (count).", min=1),
    seed: int = typer.Option(0, help="The same seed draws the same documents."),
    full: bool = typer.Option(False, "--full", help="Whole texts instead of excerpts."),
    diff: tuple[str, str] | None = typer.Option(
        None, metavar="OLDER NEWER", help="Compare two runs, snapshots or recipes instead."
    ),
    as_json: bool = JSON,
) -> None:
    """Show samples of what was kept and dropped, and why, or compare two versions of a corpus."""
    from llm.corpus.inspection.browse import sample
    from llm.corpus.inspection.compare import compare
    from tasks.commands.corpus import corpus_of, find_run

    if kept and (dropped or reason):
        raise BadInput("--kept cannot be combined with --dropped or --reason")
    console = Console()
    if diff is not None:
        if kept or dropped or reason or source:
            raise BadInput("--diff shows every change: leave --kept, --dropped, --reason, --source")
        older, newer = (find_run(HOME, name) for name in diff)
        versions = [corpus_of(HOME, record) for record in (older, newer)]
        told = compare(versions[0], versions[1], count=count, seed=seed)
        if as_json:
            print(json.dumps({"before": older.id, "after": newer.id, **told}, indent=1))
        else:
            console.print(f"{older.id} → {newer.id}", highlight=False)
            _print_differences(console, told, full)
        return
    record = find_run(HOME, corpus)
    nights = corpus_of(HOME, record)
    only = True if kept else False if dropped else None
    examples = sample(nights, reason=reason, kept=only, source=source, count=count, seed=seed)
    if as_json:
        print(json.dumps({"run": record.id, "documents": examples}, indent=1))
        return
    console.out(f"run {record.id}", highlight=False)
    for example in examples:
        _print_example(console, harmless_value(example), full)


def _print_example(console: Console, example: dict[str, Any], full: bool) -> None:
    colour = "green" if example["reason"] == "kept" else "yellow"
    console.print(Rule(Text(example["reason"], style=f"bold {colour}"), align="left"))
    console.out(example["url"], style="bold", highlight=False)
    facts = [
        example["source"],
        example["language"],
        example["night"],
        size(example["bytes"]),
        example["fetched_at"],
        example["position"],
    ]
    console.out("  ".join(fact for fact in facts if fact), style="dim", highlight=False)
    for one in example["evidence"]:
        console.print(_said(one), highlight=False, markup=False)
    other = example["duplicate_of"]
    if other is not None:
        alike = "" if other["similarity"] is None else f", similarity {other['similarity']:.3f}"
        where = other["url"] or f"the document {other['doc_id']} of another corpus"
        console.out(f"duplicate of {where}{alike}", highlight=False)
    if example["masked"]:
        said = ", ".join(f"{times} {kind}" for kind, times in example["masked"].items())
        console.print(f"masked: {said}", highlight=False)
    if example["text"] is not None:
        console.print(_shown(example["text"], example["masked"], full))
    console.print()


def _said(evidence: dict[str, Any]) -> str:
    """ "gopher_quality.min_words: words is 12, at least 50 is asked"."""
    value = evidence["value"]
    shown = f"{value:,.4g}" if isinstance(value, float) else value
    bounds = [
        f"{words} {evidence[end]:,.4g} is asked"
        for end, words in (("low", "at least"), ("high", "at most"))
        if end in evidence
    ]
    if evidence.get("score") is not None:
        bounds.append(f"score {evidence['score']:.2f}")
    what = f"{evidence['signal']} is {shown}" if "signal" in evidence else f"{shown or 'yes'}"
    return ", ".join([f"{evidence['rule']}: {what}", *bounds])


def _shown(text: str, masked: dict[str, int], full: bool) -> Text:
    """The text or its beginning, with what stands in for personal data highlighted."""
    cut = text if full or len(text) <= EXCERPT else f"{text[:EXCERPT]} …"
    shown = Text(cut)
    shown.highlight_words([f"<{kind}>" for kind in masked], style="black on yellow")
    return shown


def _print_differences(console: Console, told: dict[str, Any], full: bool) -> None:
    told = harmless_value(told)
    table = Table(box=None, pad_edge=False)
    for column in ("before", "after"):
        table.add_column(column, overflow="fold")
    table.add_column("documents", justify="right")
    table.add_column("MB", justify="right")
    for row in told["moves"]:
        end = f"{row['to']} (text changed)" if row["text_changed"] else row["to"]
        size = f"{row['bytes'] / 1e6:,.2f}"
        table.add_row(escape(row["from"]), escape(end), f"{row['documents']:,}", size)
    table.add_row("as before", "", f"{told['same']:,}", "")
    console.print(table)
    for one in told["samples"]:
        console.print(Rule(Text(f"{one['from']} → {one['to']}", style="bold"), align="left"))
        console.out(one["url"], style="bold", highlight=False)
        if one["diff"]:
            lines = one["diff"] if full else one["diff"][:DIFF_LINES]
            console.print(Syntax("\n".join(lines), "diff", word_wrap=True))
            if len(lines) < len(one["diff"]):
                console.print(
                    f"… {counted(len(one['diff']) - len(lines), 'more line')} (--full)", style="dim"
                )
        elif not one["text_changed"]:
            text = one["before"] if one["after"] is None else one["after"]
            if text is not None:
                console.print(_shown(text, {}, full))
