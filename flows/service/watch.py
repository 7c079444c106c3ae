"""Finding runs whose process died without a word, and marking them crashed.

Every flow holds a lock that the operating system frees when its process dies, however it dies.
A run that Prefect believes to be running and whose lock is free is over.
"""

from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from llm.runs import RunRecord
from tasks import notify
from tasks.home import Home

PREFIX = "flow-"
MESSAGE = "The process died. Run it again: finished steps are cached, unfinished ones go on."


def close_crashed(home: Home, *, with_api: bool) -> list[RunRecord]:
    """Mark what died as crashed, in the run records and, `with_api`, in Prefect.

    Signs that Prefect could not be told about stay for the next time.
    """
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
    if run.state is None or not run.state.is_final():
        client.set_flow_run_state(flow_run_id, Crashed(message=MESSAGE), force=True)
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}}),
        task_run_filter=TaskRunFilter.model_validate(
            {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
        ),
    )
    for task in tasks:
        client.set_task_run_state(task.id, Crashed(message=MESSAGE), force=True)
