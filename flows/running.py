"""`penstock run`: what the store has is taken at once; for the rest Prefect and a server are started."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from flows.alike import alike
from flows.cli.shared import shown
from flows.environment import HOME
from llm.recipe import load_machine, load_recipe
from tasks.commands.cached import Told, keep_untold, run_cached
from tasks.engine import ready
from tasks.engine.record import begun, check_stages, select
from tasks.engine.run import Done, Options


def run_recipe(
    console: Console,
    recipe: str,
    overrides: Sequence[str],
    snapshot: str | None,
    from_stage: str | None,
    until: str | None,
    only: str | None,
    force: Sequence[str],
    keep: Sequence[str],
    machine: Sequence[str],
) -> str:
    """Run a recipe; the parameters are the pipeline's. Returns the id of the run record."""
    todo = select(from_stage, until, only)
    loaded = load_recipe(recipe, overrides, todo)
    check_stages([*force, *keep])
    ready.check(loaded, load_machine(HOME.machine_file, machine), todo)
    parameters: dict[str, Any] = {
        "recipe": recipe,
        "overrides": list(overrides),
        "snapshot": snapshot,
        "from_stage": from_stage,
        "until": until,
        "only": only,
        "force": list(force),
        "keep": list(keep),
        "machine": list(machine),
    }

    def show(told: Told, done: Sequence[Done]) -> None:
        for text in told.warnings:
            console.print(f"  ! {text}", highlight=False, markup=False, soft_wrap=True)
        for calls in alike(done, lambda call: (call.step, call.action)):
            line = calls[0].line
            if len(calls) > 1:
                name = f"{calls[0].step} ({len(calls):,} calls)"
                line = dataclasses.replace(calls[0], name=name, summary="").line
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    options = Options(tuple(force), tuple(keep), tuple(machine))
    with begun(HOME.runs, loaded, todo, snapshot) as run_id:
        told = run_cached(HOME, loaded, run_id, todo, options, show)
        keep_untold(HOME, run_id, told, parameters)
        if len(told) < len(todo):
            with shown(console):
                from flows.pipeline import going_on, pipeline

                with going_on(run_id):
                    pipeline(**parameters)
            return run_id
    _tell()
    return run_id


def _tell() -> None:
    """Show in the UI what needed no server, if one is there; else the next one is told."""
    from flows.service.announce import announced

    given = os.environ.get("PREFECT_API_URL")
    address = given.removesuffix("/api") if given else announced(HOME)
    if address:
        from flows.service.tell import tell_untold

        tell_untold(HOME, address)
