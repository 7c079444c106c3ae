"""What every recipe that trains says of the way there: the same fields for pretraining, tasks and baselines."""

from collections.abc import Mapping
from typing import Any, Literal

from llm.settings import section, setting
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.plan import SpikeSettings, TrainingPlan
from llm.training.schedule import ScheduleSettings, learning_rate


@section
class Optimisation:
    """How parameters are stepped, how a run is kept, and what happens when it goes wrong."""

    batch_tokens: int = setting(
        default=4096, description="Tokens of one optimizer step, padding included.", gt=0
    )
    schedule: ScheduleSettings = setting(
        default=ScheduleSettings, description="The learning rate by step."
    )
    optimizer: OptimizerSettings = setting(
        default=OptimizerSettings, description="The optimizer and its constants."
    )
    clip: float | None = setting(
        default=1.0,
        description="Largest norm of the gradient (no unit); longer ones are scaled. none: no limit.",
        gt=0,
    )
    precision: Literal["auto", "bf16", "fp32"] = setting(
        default="auto",
        description="Type of activations; auto: bf16 where the hardware multiplies it, else fp32. Parameters "
        "and optimizer are fp32 always.",
    )
    data_parallel: int = setting(
        default=2,
        description="Partial gradients of a step, added in a fixed order (count): the most processes that can "
        "share the work. Fewer processes give the same bits, another number here does not.",
        ge=1,
    )
    seed: int = setting(
        default=1, description="Seed of new weights and of the order of rows.", ge=0
    )
    checkpoint_every: int = setting(
        default=200,
        description="Steps between checkpoints (steps).",
        ge=1,
        decides=False,
    )
    keep_last: int = setting(
        default=2,
        description="How many of the last checkpoints are kept (count).",
        ge=1,
        decides=False,
    )
    keep_every: int | None = setting(
        default=None,
        description="Checkpoints at multiples of this many steps are kept while the run lasts (steps); none: no "
        "more than the last.",
        ge=1,
        decides=False,
    )
    spikes: SpikeSettings = setting(
        default=SpikeSettings, description="What happens when the loss leaps or is no number."
    )

    def plan(
        self,
        job: Mapping[str, Any],
        *,
        steps: int,
        tokens_per_step: int,
        decay_from: int | None = None,
        **more: Any,
    ) -> TrainingPlan:
        """The loop's plan of a run of `steps` steps.

        job: with `identity` and what `llm.training.ranks.launch.how` says. decay_from: the first step of
        the decay, where the schedule does not say it. more: other fields of the plan.
        """

        def rate(step: int) -> float:
            return learning_rate(self.schedule, step, steps, tokens_per_step, decay_from)

        return TrainingPlan(
            steps=steps,
            tokens_per_step=tokens_per_step,
            parts=self.data_parallel,
            learning_rate=rate,
            optimizer=self.optimizer,
            seed=self.seed,
            identity=job["identity"],
            clip=self.clip,
            micro_batch=job["micro_batch"],
            parallelism=job["parallelism"],
            compiled=job["compiled"],
            checkpoint_every=self.checkpoint_every,
            keep_last=self.keep_last,
            keep_every=self.keep_every,
            spikes=self.spikes,
            **more,
        )
