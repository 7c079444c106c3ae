"""What decides a run of the training loop, and how it is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llm.settings import section, setting
from llm.step import digest_of
from llm.training.optimizers.settings import OptimizerSettings


@section
class SpikeSettings:
    """What happens when the loss is no number, or leaps: back to a checkpoint, past that data."""

    factor: float | None = setting(
        default=None,
        description="A spike is a loss of more than this many times the median of the last 100 steps (no unit); "
        "none: only a loss or gradient that is no number.",
        gt=1,
    )
    most: int = setting(
        default=3,
        description="How often a run may go back and skip what it read since (count); then it fails.",
        ge=0,
    )


def identity_at(identity: str, joined: Sequence[tuple[int, str]], step: int) -> str:
    """What decides the first `step` steps: a run's identity, and the digests of what joined before."""
    known = [digest for begin, digest in joined if begin < step]
    return digest_of([identity, *known]) if known else identity


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What decides a run of the loop.

    steps: when it ends; tokens_per_step: for metrics; parts: partial gradients of a step.
    learning_rate: by step (from 0). clip: largest gradient norm; None: no limit.
    micro_batch: rows of one forward pass. checkpoint_every: steps; keep_last of these are kept, and
    those of every keep_every-th step. spikes: when to go back and skip data, and how often.
    flops_per_token: for metrics; None: not known.
    parallelism, compiled: as the machine says (llm.step.Machine); compiled None: on GPUs.
    trunk_at: a checkpoint after this many steps is also kept as `trunk`. identity: digest of all
    that decides the run up to there, ending: of what decides it from there on; joined: steps at
    which data joined, and its digest. Checkpoints of another identity are not used.
    """

    steps: int
    tokens_per_step: int
    parts: int
    learning_rate: Callable[[int], float]
    optimizer: OptimizerSettings
    seed: int
    identity: str
    joined: Sequence[tuple[int, str]] = ()
    clip: float | None = 1.0
    micro_batch: int = 16
    checkpoint_every: int = 200
    trunk_at: int | None = None
    ending: str = ""
    keep_last: int = 2
    keep_every: int | None = None
    spikes: SpikeSettings = field(default_factory=SpikeSettings)
    flops_per_token: float | None = None
    parallelism: Literal["auto", "ddp", "fsdp"] = "auto"
    compiled: bool | None = None

    def compiles_on(self, device: str) -> bool:
        """Whether passes are compiled on a kind of device, such as cuda."""
        return self.compiled if self.compiled is not None else device == "cuda"

    def identity_at(self, step: int) -> str:
        """What a checkpoint after `step` steps bears: past the trunk, the ending too."""
        inside_decay = self.trunk_at is not None and step > self.trunk_at
        identity = identity_at(self.identity, self.joined, step)
        return f"{identity}/{self.ending}" if inside_decay else identity
