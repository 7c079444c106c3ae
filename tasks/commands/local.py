"""A run in this process alone, with no Prefect: for notebooks, debuggers and tests."""

from collections.abc import Callable, Sequence

from llm.recipe import load_machine, load_recipe
from llm.step import PrintReporter, Reporter
from llm.store import Reference
from tasks.engine import ready
from tasks.engine.execute import fulfil
from tasks.engine.home import Home
from tasks.engine.record import begun, check_stages, select
from tasks.engine.run import Options, Run, carry_out_stage
from tasks.engine.step import Call
from tasks.engine.verdict import Verdict
from tasks.stages.wiring import WIRING


class LocalRun(Run):
    """Each call is a plain function call; nothing is retried."""

    report: Reporter = PrintReporter()
    ask: Callable[[Call, Verdict], bool] = staticmethod(lambda call, verdict: False)

    def step(self, call: Call) -> Reference:
        """Take a call's artifact from the store, or make it here."""
        return fulfil(self, call, self.report, self.ask).reference


def run_locally(
    home: Home,
    recipe: str,
    overrides: Sequence[str] = (),
    snapshot: str | None = None,
    from_stage: str | None = None,
    until: str | None = None,
    only: str | None = None,
    force: Sequence[str] = (),
    keep: Sequence[str] = (),
    machine: Sequence[str] = (),
    report: Reporter | None = None,
) -> str:
    """Run a recipe; the parameters are the pipeline's. Returns the id of the run record."""
    todo = select(from_stage, until, only)
    loaded = load_recipe(recipe, overrides, todo)
    check_stages([*force, *keep])
    runs = home.runs
    settings = load_machine(home.machine_file, machine)
    ready.check(loaded, settings, todo)
    with begun(runs, loaded, todo, snapshot) as run_id:
        for stage in todo:
            record = runs.load(run_id)
            options = Options(tuple(force), tuple(keep), tuple(machine))
            run = LocalRun(stage, loaded, record.snapshot, home.store, runs, settings, options)
            run.report = report or run.report
            carry_out_stage(run, WIRING[stage], run_id)
    return run_id
