"""The stage promote as a flow: a better model → the champion."""

from flows.stage import stage_flow
from tasks import promote as wiring

promote = stage_flow("promote", wiring.promote)
