"""Which suites and baselines there are: a line each, its name and its module (see `llm.evaluation.suite`).

For the recipe and the stages' wiring alone: no step reaches it, so a new line measures nothing again.
"""

import importlib
from collections.abc import Mapping

from llm.evaluation.suite import Baseline, Suite

SUITES: Mapping[str, str] = {
    "perplexity": "llm.evaluation.suites.perplexity",
    "answers": "llm.evaluation.suites.answers",
    "samples": "llm.evaluation.suites.samples",
}

BASELINES: Mapping[str, str] = {
    "uniform": "llm.evaluation.baselines.uniform",
    "bigram": "llm.evaluation.baselines.witten_bell",
    "ngram5": "llm.evaluation.baselines.witten_bell",
    "xz": "llm.evaluation.baselines.xz",
    "xz_primed": "llm.evaluation.baselines.xz",
    "kneser_ney": "llm.evaluation.baselines.kneser_ney",
    "hmm": "llm.evaluation.baselines.hmm",
    "lstm": "llm.evaluation.baselines.trained",
    "cnn": "llm.evaluation.baselines.trained",
}


def suite(name: str) -> Suite:
    """What a suite says of itself."""
    found: Suite = importlib.import_module(SUITES[name]).SUITE
    return found


def baseline(name: str) -> Baseline:
    """What a baseline says of itself."""
    found: Baseline = importlib.import_module(BASELINES[name]).BASELINE
    return found
