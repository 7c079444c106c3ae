"""What every fine-tuning task is set to; each task's own section adds to it."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeVar

from llm.settings import section, setting
from llm.training.optimisation import Optimisation
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.schedule import ScheduleSettings

if TYPE_CHECKING:
    from llm.models.config import ModelConfig, ModelSettings


@section
class TuningSchedule(ScheduleSettings):
    """How the learning rate of a short run moves: up, then all the way down."""

    type: Literal["cosine", "linear"] = setting(
        default="linear", description="Shape after the warm-up: both fall all the way."
    )
    peak_lr: float = setting(default=0.001, description="Highest learning rate (no unit).", gt=0)
    warmup_fraction: float | None = setting(
        default=0.1,
        description="The warm-up as a share of all steps (fraction); none: by warmup_tokens.",
        ge=0,
        le=1,
    )


@section
class TuningOptimizer(OptimizerSettings):
    """The optimizer, which takes less away from weights that have learned already."""

    weight_decay: float = setting(
        default=0.01,
        description="Decoupled decay of matrices per step, times the learning rate (no unit).",
        ge=0,
    )


@section
class EarlyStopping:
    """How the best weights of a run are found on held-out examples."""

    every: float = setting(
        default=1.0, description="How often they are measured (epochs between).", gt=0
    )
    patience: int | None = setting(
        default=None,
        description="Measurements without a better one after which training ends (count); none: it goes to its "
        "end.",
        ge=1,
    )


# What recipes call the linear maps of a block, as peft's users do, and what they are called here.
LORA_TARGETS = {
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "output",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
}


@section
class LoraSettings:
    """Low-rank changes of frozen matrices (LoRA, arXiv 2106.09685)."""

    type: Literal["lora"] = setting(description="Kind of adapter: lora.")
    rank: int = setting(
        default=8, description="Rank of each change: the inner width of its two matrices.", ge=1
    )
    alpha: float = setting(
        default=16.0, description="A change counts alpha / rank times (no unit).", gt=0
    )
    targets: (
        Literal["all-linear"]
        | tuple[
            Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            ...,
        ]
    ) = setting(
        default="all-linear",
        description="Linear maps of the blocks that are changed: all-linear, or a list of them by the names that "
        "peft's users know, whatever the model's layout calls them.",
    )

    @property
    def maps(self) -> tuple[str, ...]:
        """The targets, each by its name."""
        return tuple(LORA_TARGETS) if self.targets == "all-linear" else self.targets

    dropout: float = setting(
        default=0.0,
        description="Share of a change's inputs that is zeroed in training (0 to 1).",
        ge=0,
        lt=1,
    )


def lacks(adapt: LoraSettings | None, model: "ModelConfig | ModelSettings") -> list[str]:
    """The targets of an adapter that a model has no linear map for."""
    if adapt is None or adapt.targets == "all-linear":
        return []
    return [
        name for name in adapt.targets if name == "gate_proj" and model.feed_forward != "swiglu"
    ]


@section
class ProofSettings:
    """How much of a task's rows is looked at before anything is trained on them."""

    rows: int = setting(
        default=4, description="Rows whose loss is compared, cut up in several ways (count).", ge=1
    )
    examples: int | None = setting(
        default=20_000,
        description="Examples of each split whose text is compared, drawn from all (count); none: all. Tokens are "
        "counted in all rows, whatever this says.",
        ge=1,
    )
    left_out: float = setting(
        default=0.5,
        description="Share of the training examples that may have nothing left to learn within the model's "
        "context; more of them stop the step (0 to 1).",
        ge=0,
        le=1,
    )


@section
class FinetuneSettings(Optimisation):
    """How a base model is tuned for a task."""

    name: str = setting(
        description="Name of the tuned model, unlike the others': lowercase letters, digits, dashes.",
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        decides=False,
    )
    task: str = setting(description="Kind of task; each says its own.")
    data: str = setting(
        description="Files with the examples (a path, * allowed): JSON lines, JSON, CSV, TSV, Parquet or Arrow.",
        path="file",
    )
    validation: str | None = setting(
        default=None,
        description="Files with examples to measure on while models are chosen; none: a share of data "
        "(tokenize.validation.fraction).",
        path="file",
    )
    test: str | None = setting(
        default=None,
        description="Files with examples for the last measurement; none: there is none.",
        path="file",
    )
    init: str | None = setting(
        default=None,
        description="What training starts from: the name of an earlier task of the list, or a model folder (a path "
        "with a /) as Penstock or transformers writes it; none: the model of pretrain.",
        path="local",
        decides=False,  # what is there is an input of the step
    )
    columns: Mapping[str, str | int] = setting(
        default=dict,
        description="Which field of the files each of the task's columns is filled from: a name, or the place of "
        "a cell (from 1) in a table without a header. Others are found by the usual names.",
    )
    bad_rows: float = setting(
        default=0.01,
        description="Share of bad rows that is left out; more of them stop the step (0 to 1).",
        ge=0,
        le=1,
    )
    epochs: float = setting(
        default=1.0, description="How often every example is seen (count).", gt=0
    )
    steps: int | None = setting(
        default=None,
        description="Optimizer steps (count) instead of what epochs come to; none: by epochs.",
        ge=1,
    )
    early_stopping: EarlyStopping | None = setting(
        default=None,
        description="How the best weights are found on held-out examples; none: the last ones are kept.",
    )
    adapt: LoraSettings | None = setting(
        default=None,
        description="How few of the weights are trained; none: all of them. Adapters are trained by adamw, and want a "
        "learning rate some ten times what it takes for whole weights: 0.003 to 0.01.",
    )
    schedule: TuningSchedule = setting(
        default=TuningSchedule, description="The learning rate by step."
    )
    optimizer: TuningOptimizer = setting(
        default=TuningOptimizer, description="The optimizer and its constants."
    )
    validation_rows: int = setting(
        default=64,
        description="Rows of held-out examples on which the loss is measured (count).",
        ge=0,
    )
    proof: ProofSettings = setting(
        default=ProofSettings,
        description="What is checked of the rows before anything is trained.",
        decides=False,
    )

    @property
    def trained_by(self) -> TuningOptimizer:
        """The optimizer: an adapter's is AdamW, as Muon moves changes of low rank too little."""
        if self.adapt is None:
            return self.optimizer
        return dataclasses.replace(self.optimizer, type="adamw")


S = TypeVar("S", bound=FinetuneSettings)


def shaping(values: S) -> S:
    """The same task with all that does not shape its rows at the usual value.

    Another learning rate, or another number of epochs, encodes no example again.
    """
    how = {field.name for field in dataclasses.fields(Optimisation)}
    how |= {
        "epochs",
        "steps",
        "early_stopping",
        "validation_rows",
        "bad_rows",
        "adapt",
        "proof",
        "init",
    }
    kept = (
        field.name
        for field in dataclasses.fields(values)
        if field.name not in how and field.metadata.get("shapes", True)
    )
    return type(values)(**{name: getattr(values, name) for name in kept})
