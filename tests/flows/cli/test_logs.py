"""`penstock logs` tells what each call of a run did, and why the run failed."""

import json
from pathlib import Path

import pytest

from flows.cli import logs as command
from flows.cli import main
from llm.runs import RunRecord
from llm.store import Reference
from tasks.engine.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A run of demo that finished its crawl and failed while cleaning, and one of another recipe."""
    made = Home(tmp_path / "home")
    monkeypatch.setattr(command, "HOME", made)

    def call(name: str, summary: str) -> dict[str, object]:
        reference = Reference(name.split()[0], "a" * 64, "b" * 64).to_json()
        known = {"step": name.split()[0], "action": "run", "seconds": 65.0, "summary": summary}
        return {"name": name, **known, "reference": reference}

    crawl = {"steps": [call("crawl docs", "30 pages")], "outputs": {}, "ran": 1, "seconds": 65.0}
    failed = RunRecord("r1", "demo", "day", {}, 1.0, outcome="failed", stages={"crawl": crawl})
    failed.message = "BadInput: the filters leave none of 30 documents"
    made.runs.save(failed)
    made.runs.note("r1", {"stage": "crawl", **call("crawl docs", "30 pages")})
    made.runs.note("r1", {"stage": "clean", **call("extract docs-00000", "30 documents")})
    made.runs.save(RunRecord("r2", "other", "day", {}, 2.0, outcome="completed"))
    (made.folder / "logs").mkdir()
    (made.folder / "logs" / "worker.log").write_text("")
    work = made.store.scratch / "work" / "pretrain" / "key" / "work"
    work.mkdir(parents=True)
    (work / "train.log").write_text("out of memory\n")
    return made


def typed(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(["logs", *arguments])
    return left.value.code


def test_each_call_is_told_once_with_the_reason_and_where_more_is_written(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not typed("demo")
    said = capsys.readouterr().out
    assert said.startswith("r1: failed, snapshot day, started 1970-01-01")
    assert said.count("crawl  crawl docs  run in 1 min 5 s: 30 pages") == 1
    assert "clean  extract docs-00000  run in 1 min 5 s: 30 documents" in said
    assert "the filters leave none of 30 documents" in said
    assert "  out of memory" in said
    assert str(home.folder / "logs" / "worker.log") in said


def test_the_newest_run_and_one_stage_can_be_asked_for(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not typed("--json")
    assert json.loads(capsys.readouterr().out)["run"] == "r2"
    assert not typed("r1", "clean", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [call["name"] for call in told["calls"]] == ["extract docs-00000"]
    assert typed("r3") == 2
    assert "no run 'r3'" in capsys.readouterr().err
    assert typed("r1", "cleaning") == 2
