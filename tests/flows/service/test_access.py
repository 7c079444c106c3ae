"""The real server is closed to whoever has no password, and to pages of other sites."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import prefect
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from flows.service import access
from flows.service.access import (
    auth_string,
    client_settings,
    hide_password,
    login_of_api,
    password_file,
)
from flows.service.announce import announced, announced_as
from flows.service.deployments import POOL_TEMPLATE
from flows.service.server import Server
from llm import durable
from llm.step import BadInput
from tasks.engine.home import PROJECT, Home

FOREIGN = "http://site.example"


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


def routes(server: Server) -> list[tuple[str, str]]:
    """Every method and path of the API, as the server itself describes it; ids are made up."""
    described = ASK.get(f"{server.address}/openapi.json").json()["paths"]
    return [
        (method.upper(), re.sub(r"{[^}]*}", "00000000-0000-4000-8000-000000000000", path))
        for path, methods in described.items()
        for method in methods
    ]


PUBLIC = {("GET", "/health"), ("GET", "/ready")}


def test_no_route_answers_without_the_password_even_with_a_csrf_token(
    home: Home, server: Server
) -> None:
    api = f"{server.address}/api"
    token = ASK.get(f"{api}/csrf-token?client=me", auth=server.login).json()["token"]
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "me"}
    known = routes(server)
    assert len(known) > 100 and {("GET", "/health"), ("POST", "/flow_runs/filter")} <= set(known)
    answers = {
        (method, path): ASK.request(method, f"{api}{path.removeprefix('/api')}", headers=headers)
        for method, path in known
    }
    open_to_all = {route for route, answer in answers.items() if answer.status_code != 401}
    assert open_to_all <= PUBLIC, open_to_all
    for route in open_to_all:
        assert answers[route].json() in (True, {"message": "OK"}), "only that it is alive"


@pytest.mark.parametrize("path", ["/", "/login-with", "/docs", "/openapi.json", "/ui-settings"])
def test_pages_that_anyone_may_read_hold_no_password(home: Home, server: Server, path: str) -> None:
    page = ASK.get(f"{server.address}{path}", follow_redirects=True).text
    assert server.login[1] not in page


SOCKETS = [
    "/events/in",
    "/events/out",
    "/logs/out",
    "/task_runs/subscriptions/scheduled",
]


@pytest.mark.parametrize("path", SOCKETS)
def test_a_web_socket_wants_the_password_first(home: Home, server: Server, path: str) -> None:
    address = f"ws{server.address.removeprefix('http')}/api{path}"
    prefect_only = [Subprotocol("prefect")]
    with pytest.raises(InvalidHandshake), connect(address, open_timeout=120):
        pass
    with (
        pytest.raises(InvalidHandshake),
        connect(
            address,
            subprotocols=prefect_only,
            additional_headers={"Host": "site.example"},
            open_timeout=120,
        ),
    ):
        pass
    for first in ({"type": "auth", "token": "penstock:a guess"}, {"type": "auth"}, {"type": "x"}):
        with connect(address, subprotocols=prefect_only, open_timeout=120) as socket:
            socket.send(json.dumps(first))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=120)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    with connect(address, subprotocols=prefect_only, open_timeout=120) as socket:
        socket.send(json.dumps({"type": "auth", "token": ":".join(server.login)}))
        assert json.loads(socket.recv(timeout=120))["type"] == "auth_success"


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
    create = ("work-pool", "create", "penstock", "--type", "process", "--overwrite")
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


def test_the_address_is_for_its_owner_only(home: Home) -> None:
    with announced_as(home, "http://127.0.0.1:9"):
        assert stat.S_IMODE((home.folder / "server.json").stat().st_mode) == 0o600


def test_children_do_not_inherit_the_password(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_hidden", {})
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "penstock:a word")
    hide_password()
    show = "import os; print(sorted(os.environ.values()))"
    said = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True).stdout
    assert "127.0.0.1:9" in said and "a word" not in said
    assert login_of_api(home) == "penstock:a word", "who asks the server still has it"
