"""The real demo recipe, made small, run once for all tests of this folder."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm import fingerprint
from llm.runs import RunRecord
from llm.step import Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home

SMALL = (
    "crawl.sources.docs.max_pages=40",
    "tokenizer.vocabulary=400",
    "tokenize.validation.fraction=0.2",
    "pretrain.model.layers=1",
    "pretrain.model.d_model=32",
    "pretrain.model.context_length=64",
    "pretrain.batch_tokens=512",
    "pretrain.tokens=4096",
    "finetune.0.steps=4",
    "finetune.0.validation_rows=4",
    "evaluate.answers.questions=20",
)


class Warnings(Reporter):
    """Keeps the warnings of a run."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the small demo has run once. Copied by each test."""
    folder = tmp_path_factory.mktemp("home")
    run_locally(Home(folder), "demo", SMALL, report=Reporter())
    return folder


@pytest.fixture
def small() -> tuple[str, ...]:
    """The overrides that make the demo small."""
    return SMALL


@pytest.fixture
def home(small_home: Path, tmp_path: Path) -> Home:
    """A home of the test's own in which the small demo has run."""
    shutil.copytree(small_home, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `llm` that fingerprints are taken of, for tests that edit it."""
    copy = tmp_path / "code"
    shutil.copytree(PROJECT / "llm", copy / "llm")
    monkeypatch.setattr(fingerprint, "ROOT", copy)
    return copy / "llm"


@pytest.fixture
def go(home: Home) -> Callable[..., tuple[set[str], RunRecord, list[str]]]:
    """Run the small demo again; returns the names of the calls that ran, the record, warnings."""

    def run(*overrides: str, **options: Any) -> tuple[set[str], RunRecord, list[str]]:
        report = Warnings()
        run_id = run_locally(home, "demo", [*SMALL, *overrides], report=report, **options)
        record = home.runs.load(run_id)
        return ran(record), record, report.said

    return run


def ran(record: RunRecord) -> set[str]:
    """Names of the calls of a run that were carried out."""
    return {
        s["name"]
        for stage in record.stages.values()
        for s in stage["steps"]
        if s["action"] == "run"
    }
