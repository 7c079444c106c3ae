"""The learning rate by step: a warm-up, then one of three ways down.

wsd: warm-up, stable, decay (Hu et al., MiniCPM, arXiv 2404.06395, section 4). Before the decay nothing
depends on how long the run is going to be: a longer run shares its warm-up and stable phase, and can
go on from there. cosine (Loshchilov and Hutter, arXiv 1608.03983) and linear fall from the end of the
warm-up on, and share no more than that.
"""

import math
from typing import Literal

from llm.settings import section, setting


@section
class ScheduleSettings:
    """How the learning rate moves."""

    type: Literal["wsd", "cosine", "linear"] = setting(
        default="wsd",
        description="Shape after the warm-up: wsd is stable, then a linear decay, and lets a run be made longer "
        "later; cosine and linear fall all the way.",
    )
    peak_lr: float = setting(
        default=0.004, description="Learning rate of the stable phase (no unit).", gt=0
    )
    warmup_tokens: int = setting(
        default=200_000, description="Linear warm-up from zero over the first (tokens).", ge=0
    )
    warmup_fraction: float | None = setting(
        default=None,
        description="The warm-up as a share of all steps (fraction), instead of warmup_tokens; not for wsd. "
        "none: by warmup_tokens.",
        ge=0,
        le=1,
    )
    decay_fraction: float = setting(
        default=0.3,
        description="Share of all steps, at the end, with linear decay (fraction); wsd only.",
        ge=0,
        le=1,
    )
    final_lr_fraction: float = setting(
        default=0.0,
        description="Learning rate after the last step, as a share of peak_lr (fraction).",
        ge=0,
        le=1,
    )

    def __post_init__(self) -> None:
        if self.warmup_fraction is not None and self.type == "wsd":
            raise ValueError(
                f"schedule.warmup_fraction is {self.warmup_fraction:g} and schedule.type wsd, whose warm-up "
                "is the same however long the run: give warmup_tokens, or choose linear or cosine"
            )

    def warmup_steps(self, steps: int, tokens_per_step: int) -> float:
        """How long the warm-up of a run of `steps` steps lasts (steps, in parts of one)."""
        if self.warmup_fraction is not None:
            return round(self.warmup_fraction * steps)
        return self.warmup_tokens / tokens_per_step


def decay_start(settings: ScheduleSettings, steps: int, tokens_per_step: int) -> int:
    """How many of `steps` steps are made before the decay begins."""
    if settings.type == "wsd":
        return steps - round(steps * settings.decay_fraction)
    return min(steps, math.ceil(settings.warmup_steps(steps, tokens_per_step)))


def learning_rate(
    settings: ScheduleSettings,
    step: int,
    steps: int,
    tokens_per_step: int,
    start: int | None = None,
) -> float:
    """The learning rate of step `step` (from 0) of `steps`. start: the decay's first, where it is set.

    Warm-up: peak * tokens after this step / warmup_tokens, or by steps. Decay: a line, or half a wave of the
    cosine, in steps, so that a step after the last one would have peak * final_lr_fraction. The
    smaller of both, so that a run shorter than its warm-up is well defined.
    """
    warm = 1.0
    if settings.warmup_fraction is not None:
        warm = min(1.0, (step + 1) / max(1, settings.warmup_steps(steps, tokens_per_step)))
    elif settings.warmup_tokens:
        warm = min(1.0, (step + 1) * tokens_per_step / settings.warmup_tokens)
    if start is None:
        start = decay_start(settings, steps, tokens_per_step)
    cool = 1.0
    if step >= start:
        done = (step - start) / (steps - start)
        if settings.type == "cosine":
            done = 0.5 - 0.5 * math.cos(math.pi * done)
        cool = 1.0 - done * (1.0 - settings.final_lr_fraction)
    return settings.peak_lr * min(warm, cool)
