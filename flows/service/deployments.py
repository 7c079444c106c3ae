"""The work pool and the deployments of `penstock ui`: those of prefect.yaml, under today's names."""

import subprocess
import sys
from collections import Counter

import httpx
from ruamel.yaml import YAML

from flows.service.server import ServerError
from flows.service.tell import connected
from llm import durable
from llm.recipe import STAGES
from llm.words import counted
from tasks.engine.home import PROJECT, Home

POOL = "penstock"
# Prefect's own template lets a run bring its command, its environment and its folder. Here a run
# brings nothing: its flow, its parameters and this checkout say all.
POOL_TEMPLATE = {
    "job_configuration": {"stream_output": True},
    "variables": {"type": "object", "properties": {}, "additionalProperties": False},
}

OLD_NAMES = ("by-hand",)
"""Names in earlier versions of prefect.yaml."""
UNFINISHED = ["PENDING", "RUNNING", "CANCELLING", "PAUSED"]


def deploy(home: Home, address: str) -> list[str]:
    """Make the pool and the deployments at a server; returns lines for people.

    Raises ServerError.
    """
    template = home.prefect / "pool.json"
    durable.write_json(template, POOL_TEMPLATE)
    _prefect(
        *("work-pool", "create", POOL, "--type", "process"),
        *("--base-job-template", str(template), "--overwrite"),
    )
    _prefect("--no-prompt", "deploy", "--all")
    try:
        return remove_old(home, address)
    except httpx.HTTPError as error:
        return [f"old deployments stay until the next start: {error}"]


def remove_old(home: Home, address: str) -> list[str]:
    """Remove the deployments that Penstock made under names that it no longer gives.

    One with a schedule or an unfinished run stays. Returns lines for people.
    """
    named = YAML(typ="safe").load(PROJECT / "prefect.yaml")["deployments"]
    names = [name for name in OLD_NAMES if name not in {one["name"] for one in named}]
    entrypoints = {one["entrypoint"] for one in named}
    entrypoints |= {
        f"flows/{stage}.py:{stage}" for stage in STAGES
    }  # where stages' flows were once
    removed: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    with connected(home, address) as client:
        query = {"deployments": {"name": {"any_": names}}}
        for found in client.post("/deployments/filter", query):
            if found["entrypoint"] not in entrypoints or found["work_pool_name"] != POOL:
                continue  # somebody's own
            unfinished = {
                "deployments": {"id": {"any_": [found["id"]]}},
                "flow_runs": {"state": {"type": {"any_": UNFINISHED}}},
            }
            if found["schedules"] or client.post("/flow_runs/count", unfinished):
                kept[found["name"]] += 1
            else:
                client.delete(f"/deployments/{found['id']}")
                removed[found["name"]] += 1
    lines = [
        f"removed {counted(number, 'deployment')} of an earlier version: {name}"
        for name, number in removed.items()
    ]
    for name, number in kept.items():
        what = counted(number, "deployment")
        lines.append(f"kept {what} of an earlier version, with a schedule or a run: {name}")
    return lines


def _prefect(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ServerError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
