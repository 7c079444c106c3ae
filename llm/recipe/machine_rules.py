"""What a machine file asks for that cannot be, by itself and together with a recipe."""

import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from llm.machine import Machine
from llm.recipe.messages import Problem

if TYPE_CHECKING:
    from llm.recipe import Recipe


def of_machine(machine: Machine) -> Iterator[Problem]:
    """What is wrong with how a machine is to be used."""
    for name, address in machine.hosts.items():
        host, _, port = address.rpartition(":")
        if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
            yield Problem(
                (f"hosts.{name}",),
                f"hosts.{name} is {address!r}: write host:port, such as 127.0.0.1:8000",
            )
    for sink in dict.fromkeys(machine.sinks):
        if importlib.util.find_spec(sink) is None:
            yield Problem(
                ("sinks",),
                f"sinks names {sink}, which is not installed: run `pip install -e '.[{sink}]'`, or leave "
                "it out",
            )


def of_both(recipe: "Recipe", machine: Machine, stages: Sequence[str]) -> Iterator[Problem]:
    """What a machine cannot do of a recipe."""
    kind = recipe.pretrain.optimizer.type
    tasks = {f"finetune.{n}": task.optimizer.type for n, task in enumerate(recipe.finetune)}
    chosen = {"pretrain": kind} if "pretrain" in stages else {}
    for section, name in {**chosen, **(tasks if "finetune" in stages else {})}.items():
        if machine.parallelism == "fsdp" and name != "adamw":
            yield Problem(
                (f"{section}.optimizer.type",),
                f"{section}.optimizer.type {name} works on whole matrices, and machine.parallelism fsdp "
                "cuts them up: set machine.parallelism to ddp, or the optimizer to adamw",
            )
    for number, task in enumerate(recipe.finetune if "finetune" in stages else ()):
        if machine.parallelism == "fsdp" and task.adapt is not None:
            yield Problem(
                (f"finetune.{number}.adapt",),
                f"finetune.{number}.adapt trains few weights, and machine.parallelism fsdp is for more than a "
                "GPU can hold: set machine.parallelism to ddp, or adapt to null",
            )
        if machine.parallelism == "fsdp" and task.early_stopping is not None:
            yield Problem(
                (f"finetune.{number}.early_stopping",),
                f"finetune.{number}.early_stopping measures the whole model between steps, and "
                "machine.parallelism fsdp shares its weights out: set machine.parallelism to ddp, or "
                "early_stopping to null",
            )
