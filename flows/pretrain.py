"""The stage pretrain as a flow: token shards → a base model."""

from flows.stage import stage_flow
from tasks import pretrain as wiring

pretrain = stage_flow("pretrain", wiring.pretrain)
