"""What a run would do: the stages' own wiring, carried out by nobody."""

from collections.abc import Sequence

from llm.recipe import STAGES, load_machine, load_recipe
from llm.runs import outputs_from_json
from tasks.engine import ready
from tasks.engine.home import Home
from tasks.engine.plan import Estimate, NotYet, Planned, PlanRun, stand_ins
from tasks.engine.record import night_of, select, take
from tasks.engine.run import Options
from tasks.stages.wiring import WIRING


def make_plan(
    home: Home,
    recipe: str,
    overrides: Sequence[str],
    snapshot: str | None,
    from_stage: str | None,
    until: str | None,
    only: str | None,
    force: Sequence[str],
    keep: Sequence[str],
    machine: Sequence[str],
    estimate: Estimate | None = None,
) -> list[Planned]:
    """Every call that a run with these parameters would make, in order.

    estimate: tells what those take that may run; None: that is not told.
    """
    todo = select(from_stage, until, only)
    loaded = load_recipe(recipe, overrides, todo)
    settings = load_machine(home.machine_file, machine)
    ready.check(loaded, settings, todo)
    taken = take(home.runs, loaded, STAGES[: STAGES.index(todo[0])])
    day = night_of(home.runs, loaded, snapshot, bool(taken))
    outputs = {name: outputs_from_json(result["outputs"]) for name, result in taken.items()}
    planned: list[Planned] = []
    for stage in todo:
        run = PlanRun(
            stage,
            loaded,
            day,
            home.store,
            home.runs,
            settings,
            Options(tuple(force), tuple(keep)),
        )
        run.estimate = estimate
        try:
            outputs[stage] = WIRING[stage](run, outputs)
        except NotYet:
            run.planned.append(Planned(stage, "the rest", "may run", ("it depends on the above",)))
            outputs[stage] = stand_ins(stage)
        planned += run.planned
    return planned
