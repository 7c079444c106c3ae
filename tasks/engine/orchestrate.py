"""A run whose calls are Prefect tasks: retried, shown in the UI, cached by the store alone."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed
from prefect.tasks import Task
from rich.prompt import Confirm

from llm.store import Reference
from tasks.engine import reporting
from tasks.engine.execute import fulfil, worth_retrying
from tasks.engine.reporting import Page, StepReporter
from tasks.engine.run import Run
from tasks.engine.step import Call
from tasks.engine.verdict import Verdict

RETRY_SECONDS = [2.0, 10.0, 30.0]


class PrefectRun(Run):
    """Each call is a task run. One that the store has already shows as Cached."""

    def step(self, call: Call) -> Reference:
        """Carry out one call from this thread, so that cancelling reaches its processes."""
        return _reference(_task(call)(self, call, _upstream(call)))

    def map(self, calls: Sequence[Call]) -> list[Reference]:
        """Carry out calls at the same time, as many as the machine has workers."""
        if len(calls) == 1 or any(call.step.own_processes for call in calls):
            return [self.step(call) for call in calls]
        futures: list[Any] = []
        for call in calls:
            if len(futures) >= self.machine.workers:
                futures[-self.machine.workers].wait()
            futures.append(_task(call).submit(self, call, _upstream(call)))
        return [_reference(future.result()) for future in futures]

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], description: str = "") -> None:
        """A table on the flow run's page."""
        put_table(name, rows, description)


def put_table(name: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show a table on the page of the flow run that this is called in."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    page = Page(context.flow_run.id, None, get_run_logger())
    page.table(name, rows, description)
    page.close()


def _reference(answer: Reference | State[Reference]) -> Reference:
    """What a task gave back: one that returned a state of its own (Cached) gives that state."""
    if isinstance(answer, State):
        answer = answer.result()
    assert isinstance(answer, Reference)
    return answer


def _task(call: Call) -> Any:
    return carry_out.with_options(
        name=call.step.name,
        task_run_name=call.name,
        retries=call.step.retries,
        retry_delay_seconds=RETRY_SECONDS[: max(1, call.step.retries)],
    )


def _upstream(call: Call) -> list[Reference]:
    """The artifacts that a call reads: Prefect draws its arrows from them."""
    return [item for items in call.inputs.values() for item in items if isinstance(item, Reference)]


def _can_help(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and worth_retrying(error)


@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_can_help)
def carry_out(run: PrefectRun, call: Call, upstream: list[Reference]) -> Any:
    """Ask the store for a call's artifact; run the step when it is not there."""
    logger = get_run_logger()
    context = TaskRunContext.get()
    ids = (None, None) if context is None else (context.task_run.flow_run_id, context.task_run.id)
    reporter = StepReporter(call.name, logger, *ids)
    try:
        done = fulfil(run, call, reporter, ask=_ask)
        reporter.finished()
    finally:
        reporter.close()
    if reporting.terminal is not None:
        reporting.terminal.line(done.line)
    if done.action == "run":
        return done.reference
    return Completed(name="Cached", message=done.summary or None, data=done.reference)


def _ask(call: Call, verdict: Verdict) -> bool:
    """At a terminal, ask whether an expensive step runs again; unattended, it does not."""
    if not (sys.stdin.isatty() and reporting.terminal is not None):
        return False
    reporting.terminal.bars.stop()
    question = f"{call.name}: {'; '.join(verdict.why)}. Run it again?"
    again = Confirm.ask(question, console=reporting.terminal.console, default=False)
    reporting.terminal.bars.start()
    return again
