"""What a fine-tuning task is set to."""

from typing import Literal

from llm.settings import section, setting
from llm.training.optimizer import OptimizerSettings


@section
class FinetuneSettings:
    """How a base model is taught a task."""

    name: str = setting(
        description="Name of the tuned model, unlike the others': lowercase letters, digits, dashes.",
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        decides=False,
    )
    task: Literal["instruct"] = setting(
        default="instruct", description="Kind of task: instruct learns to answer."
    )
    data: str = setting(
        description="Conversations: builtin:python-questions, or files (a path, * allowed; JSON lines, JSON, CSV, "
        "TSV, Parquet) with rows of messages, prompt and response, or instruction, input and output.",
        path="file",
    )
    epochs: float = setting(
        default=1.0, description="How often every conversation is seen (count).", gt=0
    )
    steps: int | None = setting(
        default=None,
        description="Optimizer steps (count) instead of what epochs come to; none: by epochs.",
        ge=1,
    )
    batch_tokens: int = setting(
        default=4096,
        description="Positions of one optimizer step (tokens, padding included).",
        gt=0,
    )
    peak_lr: float = setting(default=0.001, description="Highest learning rate (no unit).", gt=0)
    warmup_fraction: float = setting(
        default=0.1,
        description="Share of the steps with rising rate (fraction); then it falls to zero.",
        ge=0,
        le=1,
    )
    optimizer: OptimizerSettings = setting(
        default=lambda: OptimizerSettings(betas=(0.9, 0.95), epsilon=1e-8, weight_decay=0.01),
        description="The optimizer and its constants.",
    )
    clip: float | None = setting(
        default=1.0,
        description="Largest norm of the gradient (no unit); longer ones are scaled. none: no limit.",
        gt=0,
    )
    precision: Literal["auto", "bf16", "fp32"] = setting(
        default="auto",
        description="Type of activations; auto: bf16 where the hardware multiplies it, else fp32.",
    )
    data_parallel: int = setting(
        default=2,
        description="Partial gradients of a step (count): the most processes that can share the work.",
        ge=1,
    )
    validation_rows: int = setting(
        default=64,
        description="Rows of held-out conversations on which the loss is measured (count).",
        ge=0,
    )
    seed: int = setting(default=1, description="Seed of the order of rows.", ge=0)
    checkpoint_every: int = setting(
        default=200, description="Steps between checkpoints (steps).", ge=1, decides=False
    )
