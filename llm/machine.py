"""How a run uses the machine: the machine file's settings. Out of every step's reach, and never part of a key."""

from typing import Literal

from llm.settings import section, setting


@section
class Machine:
    """How a run uses the machine: results are the same on another."""

    workers: int = setting(
        default=2, description="Processes or threads for data steps (count).", ge=1
    )
    processes: int | None = setting(
        default=None,
        description="Training processes (count); none: one per data-parallel part and core, or GPU.",
        ge=1,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        default="auto", description="Device for training and evaluation: auto, cpu or cuda."
    )
    micro_batch: int | None = setting(
        default=None,
        description="Sequences per forward pass (count); none: the trainer chooses.",
        ge=1,
    )
    parallelism: Literal["auto", "ddp", "fsdp"] = setting(
        default="auto",
        description="How several GPUs train one model: ddp, each holds all of it; fsdp, each holds a share of "
        "its parameters and of the optimizer's state; auto: ddp while those take less than a third of a GPU's memory.",
    )
    compile: bool | None = setting(
        default=None,
        description="Whether training compiles the model (true, false); none: on GPUs.",
    )
    hosts: dict[str, str] = setting(
        default=dict, description="Addresses (host:port) that stand in for host names."
    )
    memory_bytes: int = setting(
        default=2_000_000_000, description="Memory that a guarded worker may take (bytes).", gt=0
    )
    sinks: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = setting(
        default=(),
        description="Other programs that are told training's figures: tensorboard, wandb, mlflow.",
    )
    sinks_folder: str | None = setting(
        default=None,
        description="Where they keep files; none: `sinks` in the project's home.",
        path="file",
    )
    takedown: tuple[str, ...] = setting(
        default=(),
        description="Addresses and domains that are neither fetched nor kept; filled in from the "
        "takedown list.",
    )
