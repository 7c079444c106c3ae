"""A new suite is a file and a line: it is added to a copy of the project, and evaluates a small run."""

import json
from pathlib import Path

import pytest

from tasks.engine.home import Home
from tests.test_additions import Copy

REGISTRY = "llm/registry.py"
SUITE = '''\
"""How long the held-out documents are: a suite that needs no model's opinion."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm.evaluation.section import Card, Section, Table
from llm.evaluation.suite import BASE, Kind, Measure, Suite
from llm.settings import section, setting
from llm.step import Context, Inputs, StepResult

if TYPE_CHECKING:
    from llm.evaluation.result import Measured


@section
class LengthSettings:
    """Which documents count."""

    at_least: int = setting(default=0, description="Shorter ones are left out (bytes).", ge=0)


SUITE = Suite(
    says="length of the held-out documents",
    settings=LengthSettings,
    models="base",
    inputs=("documents",),
    figures=(Kind("bytes_per_document", "bytes per document", "higher"),),
    groups="source",
)


def measure(values: Measure[LengthSettings], inputs: Inputs, context: Context) -> StepResult:
    """Count bytes; an item is a document, its group the document's source."""
    from llm.evaluation.result import rows, write
    from llm.evaluation.texts import held_out

    documents = [
        document
        for document in held_out(inputs["documents"], values.validation_fraction)
        if len(document.text) >= values.settings.at_least
    ]
    table = rows(
        "bytes_per_document",
        [document.doc_id.hex() for document in documents],
        [document.source for document in documents],
        [len(document.text) for document in documents],
        [1] * len(documents),
    )
    return write(context, "length", SUITE.figures, [table], "UTF-8 bytes", "document")


def show(measured: "Measured") -> Iterator[Section]:
    """The mean length."""
    figure = measured.models[BASE].figures["bytes_per_document"]
    cells = [["all", f"{figure.value:.1f}"]]
    yield Section(
        "Length of documents",
        parts=[Table(["", figure.unit], cells)],
        cards=[Card(f"{figure.value:.0f}", figure.unit)],
    )
'''
EVALUATE = """
import json, sys
from pathlib import Path
from llm.step import Reporter
from llm.store import Reference
from tasks.commands.local import run_locally
from tasks.engine.home import Home
home = Home(Path(sys.argv[1]))
run_id = run_locally(home, "demo", sys.argv[2:], report=Reporter(), from_stage="evaluate")
record = home.runs.load(run_id)

def folder(stage, output):
    return home.store.local(Reference.from_json(record.stages[stage]["outputs"][output]["all"]))

report = folder("evaluate", "report")
print(json.dumps({
    "metrics": json.loads((report / "metrics.json").read_text()),
    "page": (report / "report.html").read_text(),
    "decision": json.loads((folder("promote", "decision") / "decision.json").read_text()),
    "calls": [step["name"] for step in record.stages["evaluate"]["steps"]],
}))
"""
LOAD = """
import sys
from llm.recipe import RecipeError, load_recipe
try:
    load_recipe("demo", sys.argv[1:])
except RecipeError as error:
    print(error)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """The project with the suite `length`."""
    copy = Copy(tmp_path / "project")
    copy.add("llm/evaluation/suites/length.py", SUITE)
    line = '        "samples": "llm.evaluation.suites.samples",\n'
    copy.edit(REGISTRY, line, line + line.replace("samples", "length"))
    assert len(copy.touched) == 2
    return copy


def test_a_suite_is_a_file_and_a_line_of_the_registry(
    copy: Copy, home: Home, small: tuple[str, ...]
) -> None:
    chosen = [
        "evaluate.suites=[length]",
        "evaluate.baselines=[uniform]",
        "evaluate.length.at_least=100",
        "promote.metric=length.base.bytes_per_document.docs",
    ]
    # The champion of the small run's own metric is there already, and is the same model.
    (home.folder / "pointers" / "champion-demo.json").unlink()
    found = json.loads(copy.run("-c", EVALUATE, str(home.folder), *small, *chosen))
    assert found["calls"] == ["length base", "baseline uniform", "report"]
    value = found["metrics"]["length.base.bytes_per_document"]
    assert value > 100
    assert found["metrics"]["length.base.bytes_per_document.docs"] == value
    assert "Length of documents" in found["page"] and f"{value:.1f}" in found["page"]
    assert found["decision"]["metric"] == "length.base.bytes_per_document.docs"
    assert (found["decision"]["candidate"], found["decision"]["better"]) == (value, "higher")


def test_the_recipe_and_its_reference_know_a_new_suite(copy: Copy) -> None:
    schema = copy.run("-m", "flows.cli", "schema")
    assert "evaluate.length.at_least" in schema and "length of the held-out documents" in schema
    suites = "evaluate.suites=[length]"
    assert copy.run("-c", LOAD, suites, "promote.metric=length.base.bytes_per_document") == ""
    told = copy.run("-c", LOAD, suites, "promote.metric=length.base.bytes_per_documents")
    assert "Did you mean length.base.bytes_per_document?" in told
    told = copy.run("-c", LOAD, suites, "promote.metric=length.ask-docs.bytes_per_document")
    assert "length does not measure the model 'ask-docs'" in told
