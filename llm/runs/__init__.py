"""What was run, and what is in use: run records and pointers, the roots of garbage collection."""

from llm.runs.garbage import Garbage, collect, find_garbage
from llm.runs.record import Head, Outputs, RunRecord, outputs_from_json, outputs_to_json
from llm.runs.runs import Runs

__all__ = [
    "Garbage",
    "Head",
    "Outputs",
    "RunRecord",
    "Runs",
    "collect",
    "find_garbage",
    "outputs_from_json",
    "outputs_to_json",
]
