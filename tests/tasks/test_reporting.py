"""What a step tells is shown as it means it."""

from tasks.reporting import Curve


def test_a_curve_plots_the_figure_that_it_is_named_for() -> None:
    curve = Curve("loss")
    curve.points = [{"step": n, "tokens": 100.0 * n, "loss": 5.0 - n} for n in range(3)]
    shown = curve.markdown("pretrain")
    assert shown.startswith("### pretrain: loss\n\n![loss](data:image/png;base64,")
    assert "step 2, tokens 200, loss 3" in shown
