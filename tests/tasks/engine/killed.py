"""A run that kills itself with SIGKILL at the first sign of progress: `python killed.py HOME [overrides]`."""

import os
import signal
import sys
from pathlib import Path

from llm.step import Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import Home


class Killer(Reporter):
    """Dies in the middle of the first step that does something."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def info(self, message: str) -> None:
        # Deciding on a promotion is too short for progress: it tells its verdict.
        if message.startswith("promote:"):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_locally(Home(Path(sys.argv[1])), "demo", sys.argv[2:], report=Killer())
