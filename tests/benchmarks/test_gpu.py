"""benchmarks/gpu.py goes through all its parts on a machine without a GPU, and keeps to its limit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"
TINY = ("--device", "cpu", "--tiny")


def result(out: Path, *options: str) -> dict[str, Any]:
    """The line of JSON that it prints last, which its log has too."""
    command = [sys.executable, str(SCRIPT), *TINY, "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert (out / "gpu.log").read_text().splitlines()[-1] == last
    found: dict[str, Any] = json.loads(last)
    return found


@pytest.mark.slow
def test_all_that_measures_gives_figures(tmp_path: Path) -> None:
    parts = ("speed", "characters", "profile")
    found = result(tmp_path, *(word for part in parts for word in ("--only", part)))
    assert set(found["speed"]) == {"micro-batch 2", "micro-batch 4", "fsdp", "not compiled"}
    for way in found["speed"].values():
        assert way["tokens_per_second"] > 0 and way["memory_bytes"] > 0 and way["mfu"] is None
    assert list(found["characters"]["curve"]) == ["4", "8", "12"]
    assert found["characters"]["best"] == min(found["characters"]["curve"].values())
    assert found["profile"] == {"status": 0}
    assert "aten::mm" in (tmp_path / "gpu.log").read_text()


@pytest.mark.slow
def test_the_checks_are_run_and_counted(tmp_path: Path) -> None:
    found = result(tmp_path, "--only", "checks")
    assert found["checks"]["status"] == 0 and "passed" in found["checks"]["summary"]
    assert found["goals"]["checks"]


def test_what_there_is_no_time_for_is_left_out_and_told(tmp_path: Path) -> None:
    found = result(tmp_path, "--limit", "2")
    assert found["checks"] == found["characters"] == {"skipped": "out of time"}
    assert found["goals"] == {"checks": False, "mfu >= 0.5": None, "characters <= 1.4697": None}
