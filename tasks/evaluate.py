"""Evaluate: how good the models are, beside simple methods on the same bytes, in a report."""

from llm.evaluation import answers, baselines, perplexity, report, samples
from llm.evaluation.answers import MeasureAnswers
from llm.evaluation.baselines import MeasureBaselines
from llm.evaluation.perplexity import MeasurePerplexity
from llm.evaluation.report import ReportValues
from llm.runs import Outputs
from llm.store import Reference
from tasks.run import Run, Stages
from tasks.step import Call, Step

PERPLEXITY = Step("perplexity", perplexity.measure)
BASELINES = Step("baselines", baselines.measure)
ANSWERS = Step("answers", answers.measure)
SAMPLES = Step("samples", samples.generate)
REPORT = Step("report", report.write)


def evaluate(run: Run, stages: Stages) -> Outputs:
    """Measure the base model and each tuned one, the baselines and samples; write the report."""
    settings = run.recipe.evaluate
    fraction = run.recipe.tokenize.validation.fraction
    documents = list(stages["clean"]["documents"].values())
    base = stages["pretrain"]["model"]["base"]
    tuned = stages["finetune"]["model"]
    data = stages["finetune"]["data"]
    scored = MeasurePerplexity(settings=settings.perplexity, validation_fraction=fraction)

    def measure(label: str, model: Reference) -> Reference:
        return run.step(Call(PERPLEXITY, scored, {"model": [model], "documents": documents}, label))

    measured = {"base": measure("base", base)}
    measured |= {name: measure(name, model) for name, model in tuned.items()}
    simple = run.step(
        Call(
            BASELINES,
            MeasureBaselines(
                baselines=settings.baselines,
                validation_fraction=fraction,
                documents_limit_bytes=settings.perplexity.documents_limit_bytes,
            ),
            {"documents": documents},
        )
    )
    answered: dict[str, Reference] = {}
    for name, model in tuned.items() if "answers" in settings.suites else ():
        for label, which in ((f"{name} base", base), (f"{name} tuned", model)):
            inputs = {"model": [which], "data": [data[name]]}
            values = MeasureAnswers(settings=settings.answers)
            answered[label] = run.step(Call(ANSWERS, values, inputs, label))
    written: dict[str, Reference] = {}
    if "samples" in settings.suites:
        inputs = {
            "model": [base],
            "tuned": list(tuned.values()),
            "data": [data[name] for name in tuned],
        }
        written["all"] = run.step(Call(SAMPLES, settings.samples, inputs))
    made = run.step(
        Call(
            REPORT,
            ReportValues(title=run.recipe.name, finetuned=tuple(tuned)),
            {
                "funnel": list(stages["clean"]["decisions"].values()),
                "tokens": list(stages["tokenize"]["tokens"].values()),
                "pretrain": [base],
                "finetune": list(tuned.values()),
                "perplexity_base": [measured["base"]],
                "perplexity_tuned": [measured[name] for name in tuned],
                "baselines": [simple],
                "answers_base": [
                    item for label, item in answered.items() if label.endswith(" base")
                ],
                "answers_tuned": [
                    item for label, item in answered.items() if label.endswith(" tuned")
                ],
                "samples": list(written.values()),
            },
        )
    )
    return {"perplexity": measured, "samples": written, "report": {"all": made}}
