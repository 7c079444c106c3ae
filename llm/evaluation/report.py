"""The report step: what a run found out, as a page for people and as flat figures for programs."""

from llm.durable import write_bytes, write_json
from llm.evaluation.findings import flat_metrics, gather
from llm.evaluation.page import render
from llm.evaluation.report_settings import ReportValues
from llm.step import Context, Inputs, StepResult

LIBRARIES = ("matplotlib",)


def write(values: ReportValues, inputs: Inputs, context: Context) -> StepResult:
    """Write report.html, which needs no other file, and metrics.json (name: number).

    inputs, each of which may be missing: funnel (decisions), duplicates (the newest night's),
    contamination (its shards'), tokens (token shards), pretrain, perplexity_base, baselines, samples; and, one for each of `finetuned`: finetune,
    perplexity_tuned, answers_base, answers_tuned. The same inputs give the same bytes.
    """
    found = gather(values.title, values.finetuned, inputs)
    metrics = flat_metrics(found)
    write_bytes(context.out / "report.html", render(found).encode())
    write_json(context.out / "metrics.json", metrics)
    headline = metrics.get("perplexity.bits_per_byte")
    summary = "report.html" if headline is None else f"report.html, {headline:.3f} bits/byte"
    return StepResult(counts={"metrics": len(metrics)}, summary=summary)
