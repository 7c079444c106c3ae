"""Whether a candidate takes the champion's place: better by one figure, on the same items, beyond chance."""

from dataclasses import asdict
from typing import Any

from llm.durable import write_json
from llm.evaluation.comparison import FEWEST_ITEMS, Comparison, compare
from llm.evaluation.metric import Metric, chosen
from llm.evaluation.promote_settings import PromoteSettings
from llm.evaluation.result import Figure, read, read_items
from llm.evaluation.suite import BASE
from llm.step import BadInput, Context, Inputs, StepResult

LIBRARIES = ("numpy",)


def decide(values: PromoteSettings, inputs: Inputs, context: Context) -> StepResult:
    """Compare what a suite found out of two models: decision.json.

    inputs: candidate, and champion (left out or empty: there is none yet). The decision has
    promote, reason, metric, unit, better (lower or higher), confidence, protocol, and of `Comparison`
    candidate, champion, difference, bound, smallest_difference, items.
    Raises BadInput for a figure that was not measured, ValueError where the two were not measured on the
    same items.
    """
    metric = chosen(values.metric, "decoder")
    folder = inputs["candidate"][0]
    result = read(folder)
    figure = _figure(metric, result.figures)
    candidate = read_items(folder, metric.figure, metric.group)
    decision: dict[str, Any] = {
        "metric": str(metric),
        "unit": figure.unit,
        "better": figure.better,
        "confidence": values.confidence,
        "protocol": result.protocol,
    }
    champions = inputs.get("champion", ())
    if not champions:
        nothing = dict.fromkeys(("champion", "difference", "bound", "smallest_difference"))
        of = "" if metric.model == BASE else f" with a model {metric.model}"
        decision |= {
            "promote": True,
            "reason": f"no champion{of} yet",
            "candidate": candidate.value,
        }
        decision |= {**nothing, "items": len(candidate.names)}
    else:
        champion = read_items(champions[0], metric.figure, metric.group)
        found = compare(candidate, champion, figure.better, values.confidence)
        told = {name: value for name, value in asdict(found).items() if name != "verdict"}
        decision |= {"promote": found.verdict == "better", **told}
        decision["reason"] = _reason(found, figure, values.confidence)
        decision["champion_protocol"] = read(champions[0]).protocol
    write_json(context.out / "decision.json", decision)
    context.report.info(f"promote: {'yes' if decision['promote'] else 'no'}, {decision['reason']}")
    verdict = "promoted" if decision["promote"] else "not promoted"
    return StepResult(
        counts={"promoted": int(decision["promote"])},
        summary=f"{verdict}: {decision['reason']}",
    )


def _figure(metric: Metric, figures: Any) -> Figure:
    figure = figures.get(metric.figure)
    if not isinstance(figure, Figure):
        raise BadInput(
            f"promote.metric is {metric}, and {metric.suite} measured no {metric.figure} of "
            f"{metric.model}; it has {', '.join(figures) or 'no figure, for want of items'}"
        )
    return figure


def _reason(found: Comparison, figure: Figure, confidence: float) -> str:
    figures = f"{found.candidate:.4f} against the champion's {found.champion:.4f} {figure.unit}"
    if found.verdict == "the same":
        return f"the same as the champion on every item ({figures})"
    if found.verdict == "too few":
        return f"{found.items} items are too few to tell ({figures}): {FEWEST_ITEMS} or more are needed"
    assert found.bound is not None, "a comparison of enough items has a bound"
    if found.verdict == "better":
        return f"better: {figures}, with {confidence:.0%} confidence by more than {abs(found.bound):.4f}"
    if found.verdict == "within chance":
        side = "below" if figure.better == "lower" else "above"
        return (
            f"better, but within chance: {figures}, with {confidence:.0%} confidence only {side} "
            f"{found.bound:+.4f}"
        )
    return f"not better: {figures}"
