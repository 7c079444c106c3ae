"""Which suites and baselines there are, and what they say of themselves.

For the recipe and the stages' wiring alone: no step reaches it, so a new line in `llm.registry` measures
nothing again.
"""

from llm.evaluation.suite import Baseline, Suite
from llm.parts import load, registry

SUITES = registry("suite")
BASELINES = registry("baseline")


def suite(name: str) -> Suite:
    """What a suite says of itself."""
    found: Suite = load("suite", name).SUITE
    return found


def baseline(name: str) -> Baseline:
    """What a baseline says of itself."""
    found: Baseline = load("baseline", name).BASELINE
    return found
