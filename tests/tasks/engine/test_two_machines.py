"""Machines that share an object store: processes with homes of their own, at the same time."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm.store import Store
from tasks.engine.home import PROJECT, Home
from tests.llm.stores import make_store, object_kind, s3
from tests.waiting import PATIENCE

__all__ = ["make_store", "object_kind", "s3"]

MACHINE = Path(__file__).with_name("two_machines.py")
PAGES = "crawl.sources.docs.max_pages=5"


def test_machines_that_start_together_make_an_artifact_once_and_see_each_others_runs(
    s3: str, make_store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "s3://" + make_store("s3").path()
    homes = [tmp_path / name for name in ("one", "two", "three")]
    environment = {**os.environ, "PENSTOCK_STORE": url, "PYTHONPATH": str(PROJECT)}
    machines = [
        subprocess.Popen(
            [sys.executable, str(MACHINE), str(home), PAGES],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for home in homes
    ]
    said = [machine.communicate(timeout=PATIENCE)[0].split() for machine in machines]
    assert sorted(action for action, _ in said) == ["cached", "cached", "run"]
    assert len({content for _, content in said}) == 1
    monkeypatch.setenv("PENSTOCK_STORE", url)
    seen = [[head.id for head in Home(home).runs.heads()] for home in homes]
    assert len(seen[0]) == 3 and seen[0] == seen[1] == seen[2]
    assert {head.outcome for head in Home(tmp_path / "four").runs.heads()} == {"completed"}
    assert Home(homes[0]).store.backend.sizes("leases") == {}, "all are given back"
