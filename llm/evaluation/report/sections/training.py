"""How the losses fell in training."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm.evaluation.report.inputs import models
from llm.evaluation.report.settings import ReportValues
from llm.evaluation.section import Card, Curve, Curves, Section
from llm.evaluation.suite import BASE
from llm.step import Inputs
from llm.words import counted, millions

CURVE_POINTS = 2_000
LOG = "metrics.jsonl"

Points = Sequence[dict[str, float]]


def show(values: ReportValues, inputs: Inputs) -> Iterator[Section]:
    """Of the base model over tokens seen, of tuned ones over steps."""
    for name, folder in models(values, inputs):
        loss = curve(folder / LOG)
        if not loss:
            continue
        if name == BASE:
            yield _pretraining(loss, curve(folder / LOG, "validation_loss"))
        else:
            yield _tuning(name, loss)


def _pretraining(loss: Points, held: Points) -> Section:
    x = [point["tokens"] / 1e6 for point in loss]
    y = [point["loss"] for point in loss]
    lines = [Curve("", x, y)]
    words = f"Training loss from {y[0]:.2f} to {y[-1]:.2f} nats per token over {x[-1]:.1f} million tokens"
    note = f"{counted(len(loss), 'point')}; the strong line is a running mean."
    if held:
        x_held = [point["tokens"] / 1e6 for point in held]
        lines.append(Curve("validation", x_held, [point["loss"] for point in held], "loss"))
        last = held[-1]["loss"]
        words += f"; validation loss {last:.2f} at the end"
        note += f" Validation loss at the end: {last:.3f} nats per token."
    tokens = loss[-1]["tokens"]
    return Section(
        "Pretraining loss",
        note,
        parts=[Curves(lines, "million tokens seen", "training loss, nats per token", words)],
        cards=[Card(millions(tokens), "tokens trained on")],
        metrics={"pretrain.tokens": tokens, "pretrain.loss": loss[-1]["loss"]},
    )


def _tuning(name: str, loss: Points) -> Section:
    steps = [point["step"] for point in loss]
    losses = [point["loss"] for point in loss]
    words = f"Fine-tuning loss from {losses[0]:.2f} to {losses[-1]:.2f}"
    lines = [Curve("", steps, losses, "loss")]
    return Section(
        f"Fine-tuning: {name}",
        f"{counted(len(loss), 'point')}; the strong line is a running mean.",
        parts=[Curves(lines, "step", "loss on answers, nats per token", words)],
    )


def curve(path: Path, name: str = "loss") -> Points:
    """Points of step, tokens and loss, thinned out evenly to CURVE_POINTS; the last is kept.

    name: which of the log's figures is the loss.
    """
    points = list(_points(path, name))
    every = max(1, -(-len(points) // CURVE_POINTS))
    return points[::-1][::every][::-1]


def _points(path: Path, name: str) -> Iterator[dict[str, float]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            point = json.loads(line)
            # Seconds and tokens a second stand there too: they differ between equal runs.
            if name in point:
                yield {"step": point["step"], "tokens": point["tokens"], "loss": point[name]}
