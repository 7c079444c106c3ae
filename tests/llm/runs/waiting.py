"""`python waiting.py HOME SECONDS`: a run that takes every artifact of the store, and holds them."""

import sys
import time
from pathlib import Path

from llm.runs import RunRecord, Runs
from llm.store import Store

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    runs, store = Runs(folder), Store(folder / "store")
    with runs.alive("taker"):
        steps = [
            {"name": "extract", "reference": one.reference.to_json()} for one in store.artifacts()
        ]
        stages = {"clean": {"outputs": {}, "steps": steps, "ran": 0}}
        runs.save(RunRecord("taker", "demo", "s", {"policy": {"keep_runs": 2}}, 0.0, stages=stages))
        print("alive", flush=True)
        time.sleep(float(sys.argv[2]))
    record = runs.load("taker")
    record.outcome = "completed"
    runs.save(record)
