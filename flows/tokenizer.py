"""The stage tokenizer as a flow: documents → a vocabulary."""

from flows.stage import stage_flow
from tasks import tokenizer as wiring

tokenizer = stage_flow("tokenizer", wiring.tokenizer)
