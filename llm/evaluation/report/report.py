"""The report step: what a run found out, as a page for people and as flat figures for programs."""

import json
from collections.abc import Iterator

from llm.durable import write_bytes, write_json
from llm.evaluation.report.inputs import figures, results
from llm.evaluation.report.page import Page
from llm.evaluation.report.sections import about, corpus, models, protocol, rows, tokens, training
from llm.evaluation.report.settings import ReportValues
from llm.evaluation.section import Section
from llm.parts import load
from llm.step import Context, Inputs, StepResult, digest_of

LIBRARIES = ("matplotlib",)


def write(values: ReportValues, inputs: Inputs, context: Context) -> StepResult:
    """Write report.html, which needs no other file, and metrics.json (name: number).

    inputs, each of which may be missing: SUITE.MODEL for each of `suites` and `models`, baselines.NAME for
    each of `baselines`, funnel (decisions), duplicates (the newest night's), contamination (its shards'),
    tokens (token shards), pretrain, finetune and proof (one for each tuned model). The same inputs give the same
    content, and the same bytes but for the section that tells when they were made. The call chooses the
    parts `suite.NAME` of its suites.
    """
    sections = list(_sections(values, inputs))
    page = Page(values.title, sections)
    metrics = dict(figures(values, inputs))
    for section in sections:
        metrics.update(section.metrics)
    write_bytes(context.out / "report.html", page.html().encode())
    write_json(context.out / "metrics.json", metrics)
    cards = [card for section in sections for card in section.cards]
    summary = f"report.html: {cards[0].figure} {cards[0].label}" if cards else "report.html"
    content = digest_of([page.html(content=True), json.dumps(metrics, sort_keys=True)])
    return StepResult(counts={"metrics": len(metrics)}, content=content, summary=summary)


def _sections(values: ReportValues, inputs: Inputs) -> Iterator[Section]:
    """What the suites show, then what the stages before did, then how and when."""
    measured = results(values, inputs)
    for suite, found in measured.items():
        yield from load("suite", suite).show(found)
    yield from training.show(values, inputs)
    yield from rows.show(values, inputs)
    yield from corpus.show(inputs)
    yield from tokens.show(inputs)
    yield from about.show(values, inputs)
    yield from protocol.show(measured)
    yield from models.show(values, inputs)
