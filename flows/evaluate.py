"""The stage evaluate as a flow: models → figures and a report."""

from flows.stage import stage_flow
from tasks import evaluate as wiring

evaluate = stage_flow("evaluate", wiring.evaluate)
