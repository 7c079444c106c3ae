"""`python two_machines.py HOME OVERRIDE...`: crawl as one of several machines; prints what ran."""

import sys
from pathlib import Path

from llm.step import Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import Home

if __name__ == "__main__":
    home = Home(Path(sys.argv[1]))
    run = run_locally(home, "demo", sys.argv[2:], until="crawl", report=Reporter())
    for step in home.runs.load(run).stages["crawl"]["steps"]:
        print(step["action"], step["reference"]["content"])
