"""The stage tokenize as a flow: documents → token shards."""

from flows.stage import stage_flow
from tasks import tokenize as wiring

tokenize = stage_flow("tokenize", wiring.tokenize)
