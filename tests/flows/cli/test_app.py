"""The command line with a real Prefect server: what a run shows there, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.service.access import client_settings
from flows.service.server import Server
from flows.service.tell import Client, connected, tell_run
from llm.step import Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home
from tests.flows.asking import Api
from tests.small import DEMO
from tests.waiting import wait_for

TINY = (*DEMO, "pretrain.tokens=2048")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the small demo has run, without Prefect."""
    made = Home(tmp_path_factory.mktemp("home"))
    run_locally(made, "demo", TINY, report=Reporter())
    return made


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Server]:
    """A Prefect server on a free port, with a database of its own."""
    saved = dict(os.environ)
    os.environ["PREFECT_HOME"] = str(home.prefect)
    home.prefect.mkdir()
    started = Server(home, 0, with_ui=False)
    try:
        started.wait()
        yield started
    finally:
        started.stop()
        os.environ.clear()
        os.environ.update(saved)


def environment(home: Home, server: Server | None = None, columns: int = 200) -> dict[str, str]:
    names = {"PENSTOCK_HOME": str(home.folder), "OMP_NUM_THREADS": "1", "COLUMNS": f"{columns}"}
    if server is not None:
        names |= {**client_settings(home), "PREFECT_API_URL": f"{server.address}/api"}
    return {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")} | names


def penstock(
    home: Home, *arguments: str, server: Server | None = None, columns: int = 200
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env=environment(home, server, columns),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=1800,
    )


def overrides(*more: str) -> list[str]:
    return [item for value in (*TINY, *more) for item in ("--set", value)]


def ask(server: Server, what: str, query: dict[str, Any]) -> Any:
    return Api(server.address, server.login).post(f"{what}/filter", query)


def test_a_cached_run_shows_its_stages_and_cached_tasks(home: Home, server: Server) -> None:
    done = penstock(home, "run", "demo", *overrides(), "--json", server=server)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert {row["state"] for row in summary["stages"]} == {"cached"}
    assert Path(summary["report"]).is_file()
    assert summary["metrics"]["perplexity.base.bits_per_byte"] > 0
    flows = {run["name"]: run["state_type"] for run in ask(server, "flow_runs", {})}
    assert flows["demo"] == "COMPLETED"
    assert len(flows) == 9, "the pipeline and its eight stages"

    def tasks_told() -> dict[str, str]:
        return {task["name"]: task["state_name"] for task in ask(server, "task_runs", {})}

    # They arrive late.
    wait_for(lambda: {"crawl docs", "pretrain", "report"} <= tasks_told().keys(), 1)
    tasks = tasks_told()
    assert tasks["crawl docs"] == tasks["pretrain"] == tasks["report"] == "Cached"
    tables = {item["key"] for item in ask(server, "artifacts", {})}
    assert {"summary", "corpus-funnel"} <= tables


def test_a_cached_run_needs_no_server_and_the_next_one_is_told(home: Home, server: Server) -> None:
    done = penstock(home, "run", "demo", *overrides(), "--json")
    assert done.returncode == 0, done.stderr
    alone = json.loads(done.stdout)["run"]
    assert [path.stem for path in home.untold.iterdir()] == [alone]
    assert home.runs.load(alone).outcome == "completed"
    assert not (home.folder / "logs" / "worker.log").exists()
    done = penstock(home, "run", "demo", *overrides(), "--json", server=server)
    assert done.returncode == 0, done.stderr
    assert not list(home.untold.iterdir())
    flow_run = home.runs.load(alone).flow_run_id
    assert flow_run is not None
    query = {"flow_runs": {"id": {"any_": [flow_run]}}}
    [shown] = ask(server, "flow_runs", query)
    assert shown["name"] == "demo" and shown["state_type"] == "COMPLETED"
    query = {"flow_runs": {"parent_flow_run_id": {"any_": [flow_run]}}}
    stages = {run["name"]: run for run in ask(server, "flow_runs", query)}
    assert len(stages) == 8
    assert {run["state_type"] for run in stages.values()} == {"COMPLETED"}

    def of_clean() -> dict[str, str]:
        query = {"flow_runs": {"id": {"any_": [stages["clean demo"]["id"]]}}}
        return {task["name"]: task["state_name"] for task in ask(server, "task_runs", query)}

    steps = home.runs.load(alone).stages["clean"]["steps"]
    wanted = {step["name"]: "Cached" for step in steps}
    wait_for(lambda: of_clean() == wanted, 0.3)


def test_telling_that_is_cut_off_is_taken_up_and_shows_nothing_twice(
    home: Home, server: Server
) -> None:
    done = penstock(home, "run", "demo", *overrides(), "--json")
    assert done.returncode == 0, done.stderr
    alone = json.loads(done.stdout)["run"]

    class Cut(Client):
        left = 0

        def post(self, path: str, value: Any) -> Any:
            if self.left == 0:
                raise httpx.ConnectError("cut off")
            self.left -= 1
            return super().post(path, value)

    flow_run, cuts = None, 0
    while flow_run is None:
        with connected(home, server.address) as client:
            cut = Cut(client.http)
            cut.left = 7 + 10 * cuts
            try:
                flow_run = tell_run(home, cut, alone)
            except httpx.ConnectError:
                cuts += 1
    assert cuts > 3
    query = {"flow_runs": {"parent_flow_run_id": {"any_": [flow_run]}}}
    stages = ask(server, "flow_runs", query)
    assert len(stages) == 8 and {run["state_type"] for run in stages} == {"COMPLETED"}
    for run in (flow_run, *(stage["id"] for stage in stages)):
        one = {"flow_run_id": {"any_": [run]}}
        tables = [table["key"] for table in ask(server, "artifacts", {"artifacts": one})]
        lines = [line["message"] for line in ask(server, "logs", {"logs": one})]
        assert len(tables) == len(set(tables)) and len(lines) == len(set(lines))
    assert not list(home.untold.iterdir())


def test_what_runs_follows_what_is_cached_in_the_ui(home: Home, server: Server) -> None:
    done = penstock(
        home, "run", "demo", *overrides(), "--force", "promote", "--json", server=server
    )
    assert done.returncode == 0, done.stderr
    flow_run = home.runs.load(json.loads(done.stdout)["run"]).flow_run_id
    query = {"flow_runs": {"parent_flow_run_id": {"any_": [flow_run]}}}
    stages = {run["name"]: run for run in ask(server, "flow_runs", query)}
    assert len(stages) == 8
    ids = [stages[name]["parent_task_run_id"] for name in ("evaluate demo", "promote demo")]

    def is_drawn() -> bool:
        query = {"task_runs": {"id": {"any_": ids[1:]}}}
        tasks = ask(server, "task_runs", query)
        drawn = {"input_type": "task_run", "id": ids[0]}
        return [task["task_inputs"].get("after") for task in tasks] == [[drawn]]

    wait_for(is_drawn, 0.3)


def test_editing_the_recipe_during_a_run_changes_nothing(
    tmp_path: Path, home: Home, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crawl's hook edits the file: clean, which comes after it, has the values of the start."""
    text = "It is a text about the town, and of the people who have lived there for long. " * 20
    (tmp_path / "editor.py").write_text(
        "from pathlib import Path\n\n\ndef documents():\n"
        f"    path = Path({str(tmp_path)!r}) / 'edited.yaml'\n"
        "    path.write_text(path.read_text().replace('pii: [email]', 'pii: [ip]'))\n"
        f"    yield {{'text': {text!r}, 'url': 'https://a.example/'}}\n"
    )
    recipe = tmp_path / "edited.yaml"
    recipe.write_text(
        "name: edited\ncrawl:\n  sources:\n    mine: {type: hook, function: 'editor:documents'}\n"
        "clean:\n  pii: [email]\n  filters: {presets: []}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = penstock(home, "run", str(recipe), "--until", "clean", "--json", server=server)
    assert done.returncode == 0, done.stderr
    assert "pii: [ip]" in recipe.read_text()
    record = home.runs.load(json.loads(done.stdout)["run"])
    assert record.values["clean"]["pii"] == ["email"]
    written = record.outputs("clean")["documents"]
    [artifact] = [home.store.read(one.step, one.key) for one in written.values()]
    assert artifact.manifest["values"]["pii"] == ["email"]


def training(home: Home, server: Server) -> subprocess.Popen[str]:
    """A run that is in the midst of pretraining."""
    more = overrides("pretrain.tokens=2_000_000", "pretrain.checkpoint_every=5")
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run", "demo", *more, "--only", "pretrain"],
        env=environment(home, server),
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
        # A test command run in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    work = home.folder / "store" / "work" / "pretrain"
    started = time.time()

    def is_training() -> bool:
        checkpoints = list(work.glob("*/work/checkpoints/*"))
        return any(path.stat().st_mtime > started for path in checkpoints)

    wait_for(is_training, 0.3)
    return process


def test_a_killed_run_is_marked_crashed_and_ctrl_c_goes_on_from_its_checkpoint(
    home: Home, server: Server
) -> None:
    process = training(home, server)
    process.kill()
    process.wait()
    running = [run for run in ask(server, "flow_runs", {}) if run["state_type"] == "RUNNING"]
    assert {run["name"] for run in running} == {"demo", "pretrain demo"}, (
        "Prefect knows nothing yet"
    )
    shown = penstock(home, "status", "--json", server=server)
    assert json.loads(shown.stdout)["runs"][0]["outcome"] == "crashed"
    states = {run["id"]: run["state_type"] for run in ask(server, "flow_runs", {})}
    assert {states[run["id"]] for run in running} == {"CRASHED"}

    process = training(home, server)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=1800)
    assert process.returncode == 130, said
    assert "run again to continue" in said
    assert "Traceback" not in said and "Crash detected" not in said
    assert home.runs.all()[0].outcome == "cancelled"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "demo", "--set", "pretrain.token=5"], "did you mean tokens?"),
        (["run", "no-such-recipe"], "no recipe 'no-such-recipe'"),
        (["run", "demo", "--only", "train"], "no stage 'train'"),
        (
            [
                "run",
                "demo",
                "--until",
                "crawl",
                "--set",
                "crawl.sources.mine={type: files, path: no.txt}",
            ],
            "crawl.sources.mine",
        ),
        (["plan", "demo", "--set", "pretrain.tokens=-1"], "must be a whole number above 0"),
        (["show", "nothing"], "no artifact 'nothing'"),
        (["generate", "x", "--model", "/nowhere"], "not a model folder"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    home: Home, arguments: list[str], said: str
) -> None:
    before = [head.id for head in home.runs.heads()]
    done = penstock(home, *arguments)
    assert [head.id for head in home.runs.heads()] == before, "no run was begun"
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_plan_and_why_say_what_would_run_and_why(home: Home) -> None:
    changed = overrides("evaluate.samples.max_new_tokens=9")
    planned = json.loads(penstock(home, "plan", "demo", *changed, "--json").stdout)
    actions = {item["call"]: item["action"] for item in planned}
    assert {call: action for call, action in actions.items() if action != "cached"} == {
        "samples base": "run",
        "report": "may run",
    }
    why = penstock(home, "why", "evaluate", *changed)
    assert "max_new_tokens: 80 → 9" in why.stdout


def test_models_write_from_the_command_line(home: Home) -> None:
    done = penstock(home, "generate", "Return ", "--tokens", "5", "--json")
    assert done.returncode == 0, done.stderr
    again = penstock(home, "generate", "Return ", "--tokens", "5", "--json")
    assert json.loads(done.stdout) == json.loads(again.stdout)


def test_verify_finds_damage_and_gc_says_how_much_first(home: Home) -> None:
    assert penstock(home, "verify").returncode == 0
    shown = json.loads(penstock(home, "show", "tokenizer", "--json").stdout)[0]
    path = home.folder / "store" / "artifacts" / "tokenizer" / shown["key"] / "tokenizer.json"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    done = penstock(home, "verify", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["damaged"][0]["problems"] == [
        "tokenizer.json does not match its digest"
    ]
    said = json.loads(penstock(home, "gc", "--dry-run", "--json").stdout)
    assert said["bytes"] > 0 and not said["removed"]


def test_the_recipe_reference_is_up_to_date() -> None:
    from flows.reference import recipe_reference

    page = PROJECT / "docs" / "recipe.md"
    assert page.read_text("utf8") == recipe_reference(), "run `make docs`"
