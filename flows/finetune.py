"""The stage finetune as a flow: base model and conversations → models that answer."""

from flows.stage import stage_flow
from tasks import finetune as wiring

finetune = stage_flow("finetune", wiring.finetune)
