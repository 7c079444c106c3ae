"""What every test may use."""

from pathlib import Path

import pytest

from llm.machine import Machine
from llm.step import Context

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of reference data; the test is skipped, saying so, where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is missing: {SHARED}")
    return SHARED


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A step's context with empty `out` and `work` folders and a silent reporter."""
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    return Context(out=out, work=work, machine=Machine(workers=2))
