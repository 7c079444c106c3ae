"""Finding runs whose process died without a word, and ending those that nobody else cancels.

Every flow holds a lock that the operating system frees when its process dies, however it dies.
A run that Prefect believes to be running and whose lock is free is over.
"""

import signal
import time
from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.service.access import hide_password
from llm.runs import RunRecord
from tasks.engine import notify
from tasks.engine.home import Home

PREFIX = "flow-"
MESSAGE = "The process died. Run it again: finished steps are cached, unfinished ones go on."
CANCELLED = "Cancelled: its process has ended. Run it again: finished steps are cached."

CANCEL_SECONDS = 90.0
"""How long a worker has to cancel a run of its own; Prefect's takes up to a minute."""
KILL_SECONDS = 60.0
"""How long a run has to end when it was asked to."""


class Cancellations:
    """Ends the cancelled runs that no worker ends: it was replaced, or the run was started by hand.

    Prefect's worker cancels what it started itself; such a run would go on as Cancelling to its end.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self.home, self._clock = home, clock
        self._asked: dict[UUID, float] = {}

    def look(self, client: SyncPrefectClient) -> None:
        """Look once: ask with SIGTERM, kill what does not end, and tell Prefect what has ended."""
        wanted = {"state": {"type": {"any_": ["CANCELLING"]}}}
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted))
        now = self._clock()
        for run in runs:
            since = run.state.timestamp.timestamp() if run.state is not None else now
            if now - since >= CANCEL_SECONDS:
                self._end(client, run.id, now)
        self._asked = {run.id: at for run in runs if (at := self._asked.get(run.id)) is not None}

    def _end(self, client: SyncPrefectClient, flow_run_id: UUID, now: float) -> None:
        asked = self._asked.get(flow_run_id)
        name = f"{PREFIX}{flow_run_id}"
        if asked is None:
            there = self.home.runs.signal(name, signal.SIGTERM)
            self._asked[flow_run_id] = now
        elif now - asked >= KILL_SECONDS:
            there = self.home.runs.signal(name, signal.SIGKILL)
        else:
            there = self.home.runs.is_alive(name)
        if not there:
            client.set_flow_run_state(flow_run_id, Cancelled(message=CANCELLED), force=True)


def close_crashed(home: Home, *, with_api: bool) -> list[RunRecord]:
    """Mark what died as crashed, in the run records and, `with_api`, in Prefect.

    Signs that Prefect could not be told about stay for the next time.
    """
    hide_password()  # from the program that is told of them
    records = notify.close_crashed(home)
    if with_api:
        with get_client(sync_client=True) as client:
            for name in home.runs.left_signs():
                if name.startswith(PREFIX):
                    _crash(client, UUID(name.removeprefix(PREFIX)))
                home.runs.forget_sign(name)
    return records


def _crash(client: SyncPrefectClient, flow_run_id: UUID) -> None:
    try:
        run = client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return
    if run.state is not None and run.state.is_cancelling():
        client.set_flow_run_state(flow_run_id, Cancelled(message=CANCELLED), force=True)
    elif run.state is None or not run.state.is_final():
        client.set_flow_run_state(flow_run_id, Crashed(message=MESSAGE), force=True)
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}}),
        task_run_filter=TaskRunFilter.model_validate(
            {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
        ),
    )
    for task in tasks:
        client.set_task_run_state(task.id, Crashed(message=MESSAGE), force=True)
