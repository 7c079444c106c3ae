"""The report step: what a run found out, as a page for people and as flat figures for programs."""

import json

from llm.durable import write_bytes, write_json
from llm.evaluation.about import about
from llm.evaluation.findings import flat_metrics, gather
from llm.evaluation.page import ABOUT, render
from llm.evaluation.report_settings import ReportValues
from llm.step import Context, Inputs, StepResult, digest_of

LIBRARIES = ("matplotlib",)


def write(values: ReportValues, inputs: Inputs, context: Context) -> StepResult:
    """Write report.html, which needs no other file, and metrics.json (name: number).

    inputs, each of which may be missing: funnel (decisions), duplicates (the newest night's),
    contamination (its shards'), tokens (token shards), pretrain, perplexity_base, baselines, samples; and, one for each of `finetuned`: finetune,
    perplexity_tuned, answers_base, answers_tuned. The same inputs give the same content, and the same
    bytes but for the section that tells when they were made.
    """
    found = gather(values.title, values.finetuned, inputs)
    metrics = flat_metrics(found)
    page = render(found)
    told = about(values.title, values.snapshot, values.finetuned, inputs)
    write_bytes(context.out / "report.html", page.replace(ABOUT, told, 1).encode())
    write_json(context.out / "metrics.json", metrics)
    headline = metrics.get("perplexity.bits_per_byte")
    summary = "report.html" if headline is None else f"report.html, {headline:.3f} bits/byte"
    content = digest_of([page, json.dumps(metrics, sort_keys=True)])
    return StepResult(counts={"metrics": len(metrics)}, content=content, summary=summary)
