"""The stage clean as a flow: pages → documents worth training on."""

from flows.stage import stage_flow
from tasks import clean as wiring

clean = stage_flow("clean", wiring.clean)
