"""The registry: what it names is there, and none of it reaches the registry or another suite."""

import dataclasses

import pytest

from llm.evaluation import registry
from llm.evaluation.evaluate import EvaluateSettings
from llm.evaluation.registry import BASELINES, SUITES
from llm.fingerprint import fingerprint

REPORT = "llm.evaluation.report.report"


@pytest.mark.parametrize("module", sorted({*SUITES.values(), *BASELINES.values(), REPORT}))
def test_no_step_reaches_the_registry(module: str) -> None:
    reached = fingerprint(module).modules
    assert not {"llm.evaluation.registry", "llm.registry"} & {*reached}


@pytest.mark.parametrize("name", SUITES)
def test_another_look_of_the_page_measures_nothing_again(name: str) -> None:
    reached = fingerprint(SUITES[name]).modules
    assert not [module for module in reached if module.startswith("llm.evaluation.report")]
    assert not {*SUITES.values()} & {*reached} - {SUITES[name]}


def test_the_page_is_code_of_the_report_and_of_the_suites_that_it_shows() -> None:
    reached = fingerprint(REPORT).modules
    assert not {*SUITES.values()} & {*reached}


def test_each_has_what_the_recipe_and_the_stages_ask_of_it() -> None:
    fields = {field.name for field in dataclasses.fields(EvaluateSettings)}
    assert {*SUITES} <= fields
    for name in SUITES:
        suite = registry.suite(name)
        assert isinstance(getattr(EvaluateSettings(), name), suite.settings)
        assert len({kind.name for kind in suite.figures}) == len(suite.figures)
        # Parts of a figure's name are between dots, and the stage puts out these besides suites.
        assert "." not in name + "".join(kind.name for kind in suite.figures)
        assert name not in ("report", "baselines")
    for name in BASELINES:
        baseline = registry.baseline(name)
        assert name in baseline.titles
        assert ({name} <= fields) == (name in baseline.settings)
