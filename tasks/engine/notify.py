"""Telling the outside that a run failed: a program of the user's, `on-failure` in the home.

It is a file there, as git's hooks are, so that nobody can name a program through the UI or a recipe.
"""

import datetime
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm.runs import RunRecord
from tasks.engine.home import Home

PROGRAM = "on-failure"
LOG = "on-failure.log"
SECONDS = 60
TOLD = ("failed", "crashed")


def tell_failure(folder: Path, record: RunRecord, seconds: float = SECONDS) -> bool:
    """Run the program of a home's folder if the run failed or crashed; whether it was run.

    It gets the run as JSON on its input and as PENSTOCK_RUN, PENSTOCK_RECIPE, PENSTOCK_SNAPSHOT,
    PENSTOCK_OUTCOME and PENSTOCK_MESSAGE. What it prints, and what is wrong with it, is in
    logs/on-failure.log: it never changes how a run ends.
    """
    program = folder / PROGRAM
    if record.outcome not in TOLD or not program.exists():
        return False
    told = {
        name: getattr(record, name) for name in ("recipe", "snapshot", "outcome", "message")
    } | {"run": record.id}
    names = {f"PENSTOCK_{name.upper()}": value.replace("\0", "") for name, value in told.items()}
    log = folder / "logs" / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        when = datetime.datetime.now(datetime.UTC)
        output.write(f"{when:%Y-%m-%d %H:%M:%S} UTC {record.id} {record.outcome}\n".encode())
        output.flush()
        try:
            ended = subprocess.run(
                [program],
                input=json.dumps(told).encode(),
                stdout=output,
                stderr=output,
                env={**os.environ, **names},
                cwd=folder,
                timeout=seconds,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            output.write(f"{program} could not be run: {error}\n".encode())
            return False
        if ended.returncode:
            output.write(f"{program} ended with status {ended.returncode}\n".encode())
    return True


@contextmanager
def refusal_told(folder: Path, run_id: str, recipe: str) -> Iterator[None]:
    """Tell of what ends a run in the block, before it has a record: a recipe that is wrong."""
    try:
        yield
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        record = RunRecord(run_id, recipe, "", {}, 0.0, outcome="failed", message=message)
        tell_failure(folder, record)
        raise


def close_crashed(home: Home) -> list[RunRecord]:
    """Mark the records of runs whose process died as crashed, and tell of each; returns them."""
    crashed = home.runs.close_crashed()
    for record in crashed:
        tell_failure(home.folder, record)
    return crashed
