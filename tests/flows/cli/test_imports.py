"""What a command needs not import, it does not: each of these libraries takes a tenth of a second to some seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.engine.home import PROJECT
from tests.waiting import PATIENCE

HEAVY = (
    *("torch", "numba", "trafilatura", "prefect", "datasets", "matplotlib", "pyarrow", "numpy"),
    *("fsspec", "httpx", "asyncio"),
)
LOOK = f"""
import sys
from flows.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code or 0
found = [name for name in {HEAVY!r} if name in sys.modules]
assert "flows.cli.app" in sys.modules
print(code, *found, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("--help", 0),
        ("run --help", 0),
        ("status", 0),
        ("show pretrain", 2),
        ("schema", 0),
        ("run no-such-recipe", 2),
        ("plan no-such-recipe", 2),
        ("why pretrain --recipe no-such-recipe", 2),
        ("gc --dry-run", 0),
    ],
)
def test_commands_that_only_answer_import_no_heavy_library(
    tmp_path: Path, command: str, code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *command.split()],
        env={"PENSTOCK_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr.splitlines()[-1] == str(code), done.stderr
