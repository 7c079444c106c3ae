"""Deployments of earlier versions go, and nobody else's."""

from types import SimpleNamespace

import pytest
from prefect.flows import load_flow_from_entrypoint
from ruamel.yaml import YAML

from flows.service import deployments as module
from flows.service.deployments import POOL, deploy, remove_old
from flows.service.server import Server
from flows.service.tell import connected
from llm.recipe import STAGES
from tasks.engine.home import PROJECT, Home

OURS = "flows/crawl.py:crawl"
EVERY_DAY = [{"schedule": {"cron": "0 5 * * *", "timezone": "UTC"}, "active": False}]


def test_only_deployments_that_penstock_made_under_an_old_name_are_removed(
    home: Home, server: Server
) -> None:
    with connected(home, server.address) as client:
        pools = {pool["name"] for pool in client.post("/work_pools/filter", {})}
        if POOL not in pools:  # tests share the server
            client.post("/work_pools/", {"name": POOL, "type": "process", "base_job_template": {}})

        def made(flow: str, name: str, entrypoint: str, **more: object) -> str:
            flow_id = client.post("/flows/", {"name": flow})["id"]
            value = {"name": name, "flow_id": flow_id, "entrypoint": entrypoint, **more}
            value.setdefault("work_pool_name", POOL)
            return str(client.post("/deployments/", value)["id"])

        old = {made(flow, "by-hand", OURS) for flow in ("crawl", "clean", "ladder")}
        today = made("pipeline", "once", "flows/pipeline.py:pipeline")
        own = made("pipeline", "weekly", "flows/pipeline.py:pipeline")
        foreign = made("other", "by-hand", "other/flow.py:main")
        scheduled = made("tokenizer", "by-hand", OURS, schedules=EVERY_DAY)
        busy = made("tokenize", "by-hand", OURS)
        begun = client.post(
            f"/deployments/{busy}/create_flow_run",
            {"state": {"type": "RUNNING", "name": "Running"}},
        )["id"]

        def left() -> set[str]:
            return {one["id"] for one in client.post("/deployments/filter", {})}

        said = remove_old(home, server.address)
        assert said == [
            "removed 3 deployments of an earlier version: by-hand",
            "kept 2 deployments of an earlier version, with a schedule or a run: by-hand",
        ]
        assert not old & left()
        assert {today, own, foreign, scheduled, busy} <= left()
        client.complete("flow_runs", begun, "done")
        assert "removed 1 deployment of an earlier version: by-hand" in remove_old(
            home, server.address
        )
        assert {today, own, foreign, scheduled} <= left() and busy not in left()


def test_a_server_that_does_not_answer_is_no_reason_to_end(
    home: Home, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = SimpleNamespace(returncode=0)
    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=lambda *a, **k: done))
    [said] = deploy(home, "http://127.0.0.1:9")
    assert said.startswith("old deployments stay until the next start")


def test_every_deployment_names_a_flow_and_every_stage_has_one() -> None:
    named = YAML(typ="safe").load(PROJECT / "prefect.yaml")["deployments"]
    flows = [load_flow_from_entrypoint(str(PROJECT / one["entrypoint"])).name for one in named]
    assert [name for name in flows if name in STAGES] == list(STAGES)
    assert {*flows} - {*STAGES} == {"pipeline", "ladder"}
