"""Bad input ends in one clear error, a killed run goes on, and nothing finished is ever lost."""

import errno
import gzip
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm import durable
from llm.recipe import STAGES
from llm.step import BadInput, Reporter
from llm.store import Reference
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home
from tests.waiting import PATIENCE

SCRIPT = Path(__file__).with_name("killed.py")
Go = Callable[..., tuple]
PROSE = "The history of the town is the history of the people who have lived in it, and of what they did. "


def command(home: Home, small: tuple[str, ...]) -> list[str]:
    return [sys.executable, str(SCRIPT), str(home.folder), *small]


def forget(home: Home, stage: str) -> set[str]:
    """Remove the artifacts of a stage's newest run; returns the names of its calls."""
    steps = home.runs.all()[0].stages[stage]["steps"]
    for step in steps:
        reference = Reference.from_json(step["reference"])
        folder = home.folder / "store" / "artifacts" / reference.step / reference.key
        shutil.rmtree(folder, ignore_errors=True)
    if stage == "promote":
        (home.folder / "pointers" / "champion-demo.json").unlink()
    return {step["name"] for step in steps}


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_in_any_stage_goes_on_and_redoes_only_that_stage(
    home: Home, go: Go, small: tuple[str, ...], stage: str
) -> None:
    before = home.runs.all()[0].stages
    calls = forget(home, stage)
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command(home, small), env=environment, capture_output=True, timeout=600)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    crashed = home.runs.close_crashed()
    assert [record.outcome for record in crashed] == ["crashed"]
    ran, record, _ = go()
    assert ran and ran <= calls
    assert record.outcome == "completed"
    for name in STAGES:
        if name != "promote":
            assert contents(record.stages[name]) == contents(before[name]), name


def contents(stage: dict) -> dict:
    return {
        f"{kind} {label}": reference["content"]
        for kind, items in stage["outputs"].items()
        for label, reference in items.items()
    }


def test_two_runs_of_the_same_recipe_at_once_make_each_artifact_once(
    home: Home, small: tuple[str, ...]
) -> None:
    forget(home, "clean")
    forget(home, "tokenizer")
    code = (
        "import sys; from pathlib import Path; from tasks.engine.home import Home; "
        "from tasks.commands.local import run_locally; from llm.step import Reporter; "
        "run_locally(Home(Path(sys.argv[1])), 'demo', sys.argv[2:], report=Reporter())"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home.folder), *small],
            cwd=PROJECT,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.wait(PATIENCE) == 0, process.stderr.read().decode()
    first, second = home.runs.all()[:2]
    assert [first.outcome, second.outcome] == ["completed", "completed"]
    made = [
        step["name"]
        for record in (first, second)
        for stage in record.stages.values()
        for step in stage["steps"]
        if step["action"] == "run"
    ]
    assert len(made) == len(set(made)), "no step ran in both"
    assert "tokenizer" in made


def test_a_full_disk_during_a_commit_is_told_and_costs_only_that_step(
    home: Home, go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(home, "tokenizer")
    with monkeypatch.context() as patch:

        def full(folder: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(durable, "sync_tree", full)
        with pytest.raises(BadInput, match=r"tokenizer: the disk is full .* make room"):
            go()
    assert home.runs.all()[0].outcome == "failed"
    assert set(home.runs.all()[0].stages) == {"crawl", "clean"}, "what finished is on record"
    assert go()[0] == {"tokenizer"}


def test_ctrl_c_ends_in_a_record_and_the_next_run_goes_on(
    home: Home, go: Go, small: tuple[str, ...]
) -> None:
    forget(home, "tokenize")

    class Interrupt(Reporter):
        def progress(self, done: float, total: float | None, unit: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_locally(home, "demo", small, report=Interrupt())
    assert home.runs.all()[0].outcome == "cancelled"
    assert go()[0] == {"tokenize docs-00000"}


def fresh(tmp_path: Path, *overrides: str, until: str) -> None:
    (tmp_path / "fresh").mkdir(exist_ok=True)
    run_locally(Home(tmp_path / "fresh"), "demo", overrides, until=until, report=Reporter())


def test_seeds_that_do_not_resolve_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.invalid"):
        fresh(
            tmp_path,
            "crawl.sources={site: {type: web, seeds: ['http://nowhere.invalid/']}}",
            until="crawl",
        )


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no-such"):
        fresh(
            tmp_path,
            f"crawl.sources={{mine: {{type: files, path: '{tmp_path}/no-such*'}}}}",
            until="crawl",
        )


def test_a_source_that_yields_nothing_is_told(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "empty.jsonl.gz", "wt") as stream:
        stream.write("\n")
    with pytest.raises(BadInput, match=r"empty\.jsonl\.gz"):
        fresh(
            tmp_path,
            f"crawl.sources={{mine: {{type: files, path: '{tmp_path}/empty.jsonl.gz'}}}}",
            until="crawl",
        )


def own(tmp_path: Path, text: str) -> str:
    (tmp_path / "mine.txt").write_text(text)
    return f"crawl.sources={{mine: {{type: files, path: '{tmp_path}/mine.txt'}}}}"


def test_a_corpus_that_the_filters_leave_empty_names_the_filter(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="min_words"):
        fresh(tmp_path, own(tmp_path, "Too short."), until="clean")


def test_a_vocabulary_larger_than_the_data_allows_names_the_largest(tmp_path: Path) -> None:
    source = own(
        tmp_path, PROSE + " ".join(f"On day {n} it rained, and {n * 7} came." for n in range(40))
    )
    loose = ("clean.filters.presets=[]", "tokenize.validation.fraction=0.01")
    with pytest.raises(BadInput, match=r"100000|100,000"):
        fresh(tmp_path, source, *loose, "tokenizer.vocabulary=100000", until="tokenizer")
