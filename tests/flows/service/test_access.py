"""The real server is closed to whoever has no password, and to pages of other sites."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import prefect
import pytest

from flows.service.access import auth_string, client_settings, password_file
from flows.service.server import Server, announced
from flows.service.ui import POOL_TEMPLATE
from llm import durable
from llm.step import BadInput
from tasks.home import PROJECT, Home

FOREIGN = "http://site.example"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("home"))
    made.prefect.mkdir()
    return made


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home.prefect))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        started = Server(home, 0, with_ui=False)
    try:
        started.wait()
        yield started
    finally:
        started.stop()


ASK = httpx.Client(timeout=120)  # a busy machine is slow, not wrong


def test_a_password_is_made_once_for_each_home_and_is_private(tmp_path: Path) -> None:
    first, second = Home(tmp_path / "a"), Home(tmp_path / "b")
    assert auth_string(first) == auth_string(first) != auth_string(second)
    assert stat.S_IMODE(password_file(first).stat().st_mode) == 0o600
    assert len(auth_string(first).partition(":")[2]) >= 32
    password_file(first).chmod(0o644)
    with pytest.raises(BadInput, match=r"other users may read .*ui-password"):
        auth_string(first)


def test_without_the_password_only_the_health_check_answers(home: Home, server: Server) -> None:
    api = f"{server.address}/api"
    assert ASK.get(f"{api}/health").status_code == 200
    for auth in (None, ("penstock", "a guess"), ("", "")):
        assert ASK.get(f"{api}/admin/version", auth=auth).status_code == 401
        assert ASK.post(f"{api}/flow_runs/filter", json={}, auth=auth).status_code in (401, 403)
    assert ASK.get(f"{api}/admin/version", auth=server.login).status_code == 200


def test_a_page_of_another_site_is_granted_nothing(home: Home, server: Server) -> None:
    asked = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    preflight = ASK.options(f"{server.address}/api/flow_runs/filter", headers=asked)
    assert preflight.status_code == 400
    answer = ASK.get(
        f"{server.address}/api/admin/version", headers={"Origin": FOREIGN}, auth=server.login
    )
    for each in (preflight, answer):
        assert "access-control-allow-origin" not in each.headers
    own = ASK.get(
        f"{server.address}/api/admin/version", headers={"Origin": server.address}, auth=server.login
    )
    assert own.headers["access-control-allow-origin"] == server.address


def test_a_change_needs_a_csrf_token_besides_the_password(home: Home, server: Server) -> None:
    asked = ASK.post(f"{server.address}/api/flow_runs/filter", json={}, auth=server.login)
    assert (asked.status_code, "CSRF" in asked.text) == (403, True)


@pytest.mark.parametrize("name", ["site.example", "site.example:80", "127.0.0.1.site.example", ""])
def test_the_server_answers_to_its_own_names_only(home: Home, server: Server, name: str) -> None:
    address = f"{server.address}/api/admin/version"
    assert ASK.get(address, headers={"Host": name}, auth=server.login).status_code == 400
    port = server.address.rpartition(":")[2]
    own = ASK.get(address, headers={"Host": f"localhost:{port}"}, auth=server.login)
    assert own.status_code == 200


def test_the_link_that_logs_in_is_a_page_that_keeps_the_password_to_the_browser(
    home: Home, server: Server
) -> None:
    page = ASK.get(f"{server.address}/login-with")
    assert page.status_code == 200 and "location.hash" in page.text
    bundles = Path(prefect.__ui_v2_static_path__).rglob("*.js")
    assert any(
        '"prefect-password"' in b or "`prefect-password`" in b for b in map(Path.read_text, bundles)
    )


def run(home: Home, server: Server, *arguments: str) -> str:
    names = {"PREFECT_API_URL": f"{server.address}/api", "PREFECT_HOME": str(home.prefect)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | client_settings(home) | names,
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


BROUGHT = """
import asyncio, json
from prefect.client.orchestration import get_client
from prefect.workers.process import ProcessJobConfiguration

async def what_a_run_gets():
    brought = {"command": "true", "env": {"A": "b"}, "working_dir": "/", "stream_output": False}
    async with get_client() as client:
        pool = await client.read_work_pool("penstock")
        made = await ProcessJobConfiguration.from_template_and_values(
            pool.base_job_template, brought, client=client
        )
    print(made.model_dump_json())

asyncio.run(what_a_run_gets())
"""


def test_a_run_brings_neither_command_nor_environment_nor_folder(
    home: Home, server: Server, tmp_path: Path
) -> None:
    template = tmp_path / "pool.json"
    durable.write_json(template, POOL_TEMPLATE)
    create = ("work-pool", "create", "penstock", "--type", "process")
    run(home, server, *("-m", "prefect", *create, "--base-job-template", str(template)))
    made = json.loads(run(home, server, "-c", BROUGHT).splitlines()[-1])
    assert (made["command"], made["working_dir"], made["env"]) == (None, None, {})
    assert made["stream_output"] is True


def test_a_server_that_nobody_vouches_for_is_not_taken_for_the_ui(
    home: Home, server: Server
) -> None:
    """A file of a UI that has gone may name a port that somebody else listens at now."""
    durable.write_json(home.folder / "server.json", {"address": server.address, "pid": 1})
    assert announced(home) is None


def test_a_server_that_is_killed_answers_again_at_the_same_address(
    home: Home, server: Server
) -> None:
    killed = server.kept.process
    killed.kill()
    killed.wait()
    while server.kept.process is killed:
        server.kept.look()
    answer = ASK.get(f"{server.address}/api/admin/version", auth=server.login, timeout=600)
    assert answer.status_code == 200, "who asked while it started was answered"
    assert server.kept.process.poll() is None
