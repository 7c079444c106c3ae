"""Telling Prefect's UI of runs that needed no server: over its REST API, without importing Prefect.

A run whose calls all come from the store is carried out without Prefect (`tasks.commands.cached`). Here it
becomes what it would have been: a flow run with a flow run for each stage, their task runs in the
state Cached, tables, log lines. Where that fails nothing is lost: the next server is told.
"""

import base64
import datetime
import json
import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.service.access import login_of_api
from flows.summary import stage_row
from llm.runs import RunRecord
from tasks.commands.cached import Told, forget_untold, untold
from tasks.engine.home import Home

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 30.0
BUSY = (429, 502, 503)  # a database that is locked for the moment, for one
WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
AT_ONCE = 500  # task runs in one request
INFO, WARNING = 20, 30
_NAMES = uuid.UUID("5f1d2c64-8d0a-4c5e-9a0f-3b6f6f0f7a51")

ACTIONS = {"cached": "Cached", "kept": "Cached", "taken": "Cached"}


@contextmanager
def connected(home: Home, address: str) -> "Iterator[Client]":
    """A client of the server at an address (http://127.0.0.1:4200). Raises httpx.HTTPError."""
    import httpx

    headers = {}
    if login := login_of_api(home):
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    with httpx.Client(
        base_url=f"{address}/api", headers=headers, timeout=TIMEOUT_SECONDS
    ) as client:
        me = str(uuid.uuid4())
        token = client.get("/csrf-token", params={"client": me})
        if token.status_code == httpx.codes.OK:
            client.headers["Prefect-Csrf-Token"] = token.json()["token"]
            client.headers["Prefect-Csrf-Client"] = me
        yield Client(client)


class Client:
    """The few requests that it takes."""

    def __init__(self, http: "httpx.Client") -> None:
        self.http = http
        self.flows: dict[str, str] = {}

    def post(self, path: str, value: Any) -> Any:
        """The answer to a request with a JSON body. Raises httpx.HTTPError."""
        return self._ask("POST", path, value)

    def delete(self, path: str) -> None:
        """Delete what a path names. Raises httpx.HTTPError."""
        self._ask("DELETE", path)

    def _ask(self, method: str, path: str, value: Any = None) -> Any:
        for wait in (*WAITS_SECONDS, None):
            answer = self.http.request(method, path, json=value)
            if wait is None or answer.status_code not in BUSY:
                break
            time.sleep(wait)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def flow_run(self, flow: str, name: str, key: str, **fields: Any) -> tuple[str, bool]:
        """The id of the flow run with an idempotency key, begun now if it is not there yet.

        And whether it is completed: then all of it was told before.
        """
        if flow not in self.flows:
            self.flows[flow] = self.post("/flows/", {"name": flow})["id"]
        value = {
            "flow_id": self.flows[flow],
            "name": name,
            "idempotency_key": key,
            "state": {"type": "RUNNING", "name": "Running"},
            **fields,
        }
        found = self.post("/flow_runs/", value)
        return str(found["id"]), found["state_type"] == "COMPLETED"

    def subflow(
        self, flow: str, name: str, key: str, parent: str, after: str | None
    ) -> tuple[str, str, bool]:
        """The ids of a stage's flow run and of the task run that stands for it in its parent.

        And whether all of it was told before.
        """
        inputs = {"after": [{"input_type": "task_run", "id": after}]} if after else {}
        value = {
            "name": name,
            "flow_run_id": parent,
            "task_key": flow,
            "dynamic_key": f"{flow}-told",
            "task_inputs": inputs,
            "state": {"type": "RUNNING", "name": "Running"},
        }
        task = str(self.post("/task_runs/", value)["id"])
        part, is_told = self.flow_run(flow, name, key, parent_task_run_id=task)
        return part, task, is_told

    def complete(self, kind: str, run_id: str, message: str) -> None:
        """Let a run (kind: flow_runs or task_runs) be completed."""
        state = {"type": "COMPLETED", "name": "Completed", "message": message}
        self.post(f"/{kind}/{run_id}/set_state", {"state": state, "force": True})

    def task_runs(self, flow_run: str, calls: Sequence[dict[str, Any]], at: float) -> None:
        """The calls of a stage as task runs: as events, as Prefect's own clients report them."""
        for start in range(0, len(calls), AT_ONCE):
            some = list(enumerate(calls[start : start + AT_ONCE], start=start))
            self.post("/events", [_event(flow_run, number, call, at) for number, call in some])

    def table(self, flow_run: str, name: str, rows: Any, description: str) -> None:
        """A table on a run's page, unless it is there."""
        key, data = (
            "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-"),
            json.dumps(rows),
        )
        one = {"flow_run_id": {"any_": [flow_run]}, "key": {"any_": [key]}}
        if any(
            told["data"] in (data, rows)
            for told in self.post("/artifacts/filter", {"artifacts": one})
        ):
            return
        value = {
            "key": key,
            "type": "table",
            "data": data,
            "description": description or None,
            "flow_run_id": flow_run,
        }
        self.post("/artifacts/", value)

    def lines(self, flow_run: str, lines: Sequence[tuple[int, str]], at: float) -> None:
        """Lines of a run's log, unless they are there."""
        if not lines:
            return
        one = {"logs": {"flow_run_id": {"any_": [flow_run]}}}
        there = {line["message"] for line in self.post("/logs/filter", one)}
        value = [
            {
                "name": "prefect.flow_runs",
                "level": level,
                "message": text,
                "timestamp": _time(at),
                "flow_run_id": flow_run,
            }
            for level, text in lines
            if text not in there
        ]
        if value:
            self.post("/logs/", value)


def _time(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()


def _event(flow_run: str, number: int, call: dict[str, Any], at: float) -> dict[str, Any]:
    """That a call ended: the same event each time that it is told, so that it counts once."""
    task = uuid.uuid5(_NAMES, f"{flow_run} {number}")
    state, message = ACTIONS.get(call["action"], "Completed"), call["summary"] or None
    return {
        "id": str(uuid.uuid5(task, "ended")),
        "occurred": _time(at),
        "event": f"prefect.task-run.{state}",
        "resource": {
            "prefect.resource.id": f"prefect.task-run.{task}",
            "prefect.resource.name": call["name"],
            "prefect.run-count": "1",
            "prefect.state-message": message or "",
            "prefect.state-name": state,
            "prefect.state-timestamp": _time(at),
            "prefect.state-type": "COMPLETED",
            "prefect.orchestration": "client",
        },
        "related": [
            {
                "prefect.resource.id": f"prefect.flow-run.{flow_run}",
                "prefect.resource.role": "flow-run",
            }
        ],
        "payload": {
            "intended": {"from": "PENDING", "to": "COMPLETED"},
            "initial_state": {
                "type": "PENDING",
                "name": "Pending",
                "message": None,
                "state_details": {},
            },
            "validated_state": {
                "type": "COMPLETED",
                "name": state,
                "message": message,
                "state_details": {},
                "data": None,
            },
            "task_run": {
                "name": call["name"],
                "task_key": call["step"],
                "dynamic_key": f"{call['step']}-{number}",
                "expected_start_time": _time(at),
                "start_time": _time(at),
                "end_time": _time(at),
                "total_run_time": 0.0,
                "run_count": 1,
                "flow_run_run_count": 1,
                "task_inputs": {},
                "tags": [],
            },
        },
    }


def tell_stages(
    client: Client, flow_run: str, record: RunRecord, stages: Sequence[Told]
) -> str | None:
    """Show stages that came from the store as parts of a flow run; the task run of the last.

    Telling that was cut off is taken up: what is shown already is not shown twice.
    """
    after = None
    for told in stages:
        result = record.stages[told.stage]
        name = f"{told.stage} {record.recipe}"
        key = f"{record.id}-{told.stage}"
        part, after, is_told = client.subflow(told.stage, name, key, flow_run, after)
        if is_told:
            continue
        client.task_runs(part, result["steps"], told.ended)
        for table in told.tables:
            client.table(part, table["name"], table["rows"], table["description"])
        client.lines(part, [(WARNING, text) for text in told.warnings], told.ended)
        row = stage_row(told.stage, result)
        line = f"{row['stage']}: {row['state']}, {row['seconds']:.1f} s, {row['out']}"
        client.lines(flow_run, [(INFO, line)], told.ended)
        client.complete("task_runs", after, row["out"])
        client.complete("flow_runs", part, row["out"])  # the last: it says that all is told
    return after


def tell_run(home: Home, client: Client, run_id: str) -> str | None:
    """Show a whole run that needed no server; returns its flow run, None where nothing was to tell.

    Raises httpx.HTTPError: then it is told the next time, and nothing of it is shown twice.
    """
    kept = untold(home, run_id)
    if kept is None or run_id not in {head.id for head in home.runs.heads()}:
        forget_untold(home, run_id)
        return None
    parameters, stages = kept
    record = home.runs.load(run_id)
    flow_run, _ = client.flow_run("pipeline", record.recipe, run_id, parameters=parameters)
    tell_stages(client, flow_run, record, stages)
    rows = [stage_row(name, stage) for name, stage in record.stages.items()]
    client.table(flow_run, "summary", rows, f"Run {run_id}: what each stage did")
    ended = record.ended_at or record.started_at
    took = f"{ended - record.started_at:.1f} s"
    client.complete(
        "flow_runs", flow_run, f"All from the cache in {took}, at {_time(ended)[:19]} UTC"
    )
    record.flow_run_id = flow_run
    home.runs.save(record)
    forget_untold(home, run_id)
    return flow_run


def tell_untold(home: Home, address: str) -> int:
    """Tell a server of every run that none was told of; returns how many."""
    import httpx

    waiting = sorted(path.stem for path in home.untold.glob("*.json"))
    told = 0
    # A run that goes on has its own flow run, which shows these stages.
    waiting = [run_id for run_id in waiting if not home.runs.is_alive(run_id)]
    if not waiting:
        return 0
    try:
        with connected(home, address) as client:
            for run_id in waiting:
                told += tell_run(home, client, run_id) is not None
    except httpx.HTTPError as error:
        log.warning("the UI was not told of %d runs: %s", len(waiting) - told, error)
    return told
