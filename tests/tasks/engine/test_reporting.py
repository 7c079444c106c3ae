"""What a step tells is shown as it means it."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from tasks.engine.home import PROJECT
from tasks.engine.reporting import CURVE_POINTS, Curve, Pace, StepReporter


def test_a_curve_plots_the_figure_that_it_is_named_for() -> None:
    curve = Curve("loss")
    for n in range(3):
        curve.add({"step": n, "tokens": 100.0 * n, "loss": 5.0 - n})
    shown = curve.markdown("pretrain")
    assert shown.startswith("### pretrain: loss\n\n![loss](data:image/png;base64,")
    assert "step 2, tokens 200, loss 3" in shown


def test_a_long_curve_keeps_few_points_and_its_means() -> None:
    curve = Curve("loss")
    count = 16 * CURVE_POINTS
    for n in range(count):
        curve.add({"step": n, "loss": float(n % 7)})
    assert CURVE_POINTS / 2 <= len(curve.points) < CURVE_POINTS
    size = count // len(curve.points)
    expected = (np.arange(count) % 7).reshape(-1, size).mean(axis=1)
    assert [point["loss"] for point in curve.points] == pytest.approx(expected.tolist())
    assert f"step {count - 1:,}" in curve.markdown("pretrain"), "the newest figures are exact"


def test_a_figure_that_some_points_have_keeps_its_mean() -> None:
    curve = Curve("loss")
    for n in range(4 * CURVE_POINTS):
        curve.add({"step": n, **({"validation_loss": 3.0} if n % 5 == 0 else {})})
    assert {point.get("validation_loss", 3.0) for point in curve.points} == {3.0}


def test_the_pace_of_a_resumed_step_counts_what_it_did_itself() -> None:
    pace = Pace(900, now=50.0)
    assert pace.figures(900, 1000, "steps", now=50.0) == "900 of 1,000 steps"
    assert pace.figures(920, 1000, "steps", now=52.0) == "920 of 1,000 steps, 10/s, 8 s left"
    assert pace.figures(1000, 1000, "steps", now=60.0) == "1,000 of 1,000 steps, 10/s"


def test_a_picture_that_cannot_be_drawn_is_a_picture_less(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: Curve, title: str) -> str:
        raise KeyError("SubFigure:kwdoc")

    monkeypatch.setattr(Curve, "markdown", fails)
    report = StepReporter("pretrain", logging.getLogger("test"))
    report.series("loss", {"step": 1, "loss": 5.0})
    report.close()
    assert "no picture of loss: KeyError: 'SubFigure:kwdoc'" in caplog.text


# Ctrl-C in the middle of an import leaves halves of a package behind.
INTERRUPTED = """
import importlib.abc, logging, sys
from tasks.engine.reporting import StepReporter

class CtrlC(importlib.abc.MetaPathFinder):
    pressed = False

    def find_spec(self, name, path, target=None):
        if name == "{module}" and not self.pressed:
            CtrlC.pressed = True
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
report = StepReporter("pretrain", logging.getLogger())
try:
    try:
        report.series("loss", {{"step": 1, "loss": 5.0}})
        report._show(report.curves["loss"])
    finally:
        report.close()
except KeyboardInterrupt:
    print("interrupted", CtrlC.pressed)
"""


@pytest.mark.parametrize(
    "module", ["matplotlib", "matplotlib.figure", "matplotlib.patches", "matplotlib.gridspec"]
)
def test_ctrl_c_while_a_picture_is_drawn_is_an_interruption(module: str) -> None:
    code = INTERRUPTED.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "interrupted True\n", done.stderr
    assert "Traceback" not in done.stderr
