"""Evaluate: how good the models are, beside simple methods on the same bytes, in a report."""

from collections.abc import Sequence
from typing import Literal

from llm.evaluation.answers_settings import MeasureAnswers
from llm.evaluation.baselines_settings import MeasureBaselines
from llm.evaluation.counted_settings import MeasureHMM, MeasureKneserNey
from llm.evaluation.perplexity_settings import MeasurePerplexity
from llm.evaluation.report_settings import ReportValues
from llm.evaluation.trained_settings import MeasureTrained
from llm.runs import Outputs
from llm.store import Reference
from tasks.engine.run import Run, Stages
from tasks.engine.step import Call, Step

PERPLEXITY = Step("perplexity", "llm.evaluation.perplexity:measure")
BASELINES = Step("baselines", "llm.evaluation.baselines:measure")
KNESER_NEY = Step("baseline", "llm.evaluation.counted:kneser_ney")
HMM = Step("baseline", "llm.evaluation.counted:hmm")
TRAIN_BASELINE = Step(
    "train-baseline", "llm.training.baseline:train_baseline", own_processes=True, learns=True
)
TRAINED = Step("baseline", "llm.evaluation.trained:measure")
ANSWERS = Step("answers", "llm.evaluation.answers:measure")
SAMPLES = Step("samples", "llm.evaluation.samples:generate")
REPORT = Step("report", "llm.evaluation.report:write")


# Long: the measurements in the order of the report, a call each.
def evaluate(run: Run, stages: Stages) -> Outputs:
    """Measure the base model and each tuned one, the baselines and samples; write the report."""
    settings = run.recipe.evaluate
    fraction = run.recipe.tokenize.validation.fraction
    documents = list(stages["clean"]["documents"].values())
    decided = list(stages["clean"]["decisions"].values())
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
                baselines=settings.byte_baselines,
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
            ReportValues(title=run.recipe.name, snapshot=run.snapshot, finetuned=tuple(tuned)),
            {
                "funnel": decided,
                **examined(run, decided, documents),
                "tokens": list(stages["tokenize"]["tokens"].values()),
                "pretrain": [base],
                "finetune": list(tuned.values()),
                "perplexity_base": [measured["base"]],
                "perplexity_tuned": [measured[name] for name in tuned],
                "baselines": [simple, *over_tokens(run, stages)],
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


def over_tokens(run: Run, stages: Stages) -> list[Reference]:
    """The named baselines that learn from the model's own training tokens, each with its own key."""
    settings = run.recipe.evaluate
    limit = settings.perplexity.documents_limit_bytes
    shards = {
        "tokens": list(stages["tokenize"]["tokens"].values()),
        "tokenizer": list(stages["tokenizer"]["tokenizer"].values()),
    }

    def trained_and_measured(name: Literal["lstm", "cnn"]) -> Reference:
        values = settings.lstm if name == "lstm" else settings.cnn
        model = run.step(Call(TRAIN_BASELINE, values, shards, name))
        length = values.training.context_length
        scored = MeasureTrained(baseline=name, context_length=length, settings=settings.perplexity)
        return run.step(Call(TRAINED, scored, {"model": [model], **shards}, name))

    measured: list[Reference] = []
    for name in settings.baselines:
        if name == "kneser_ney":
            counting = MeasureKneserNey(settings=settings.kneser_ney, documents_limit_bytes=limit)
            measured.append(run.step(Call(KNESER_NEY, counting, shards, name)))
        elif name == "hmm":
            fitting = MeasureHMM(settings=settings.hmm, documents_limit_bytes=limit)
            measured.append(run.step(Call(HMM, fitting, shards, name)))
        elif name in ("lstm", "cnn"):
            measured.append(trained_and_measured(name))
    return measured


def examined(
    run: Run, decided: Sequence[Reference], documents: Sequence[Reference]
) -> dict[str, list[Reference]]:
    """What the newest night's documents were searched with: its duplicates, its contamination.

    Of earlier nights nothing keeps them: a report made from them would change as they go.
    """
    found: dict[str, dict[Reference, None]] = {"duplicates": {}, "contamination": {}}
    if decided and run.is_made(decided[-1]):
        for one in (decided[-1], *documents):
            made = run.store.read(one.step, one.key) if run.is_made(one) else None
            inputs = {} if made is None else made.manifest["inputs"]
            by = [item["key"] for item in inputs.get("decisions", ())]
            if one is not decided[-1] and decided[-1].key not in by:
                continue
            for name, references in found.items():
                references.update(dict.fromkeys(map(Reference.from_json, inputs.get(name, ()))))
    return {
        name: [one for one in references if run.store.read(one.step, one.key) is not None]
        for name, references in found.items()
    }
