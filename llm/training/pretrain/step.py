"""The pretrain step: token shards in, a model folder out.

The step has torchrun start this module's `train` on every rank and waits. Ranks import torch, the
step does not: the commands that only plan or look stay quick.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from llm.durable import file_digest
from llm.models.config import ModelConfig
from llm.parts import unkeyed
from llm.settings import deciding, restored
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.tokens.phases import Phase
from llm.tokens.special import id_count
from llm.training.incidents import Incidents
from llm.training.objectives.build import build as build_objective
from llm.training.plan import identity_at
from llm.training.pretrain import continual, trunk
from llm.training.pretrain.data import check_rows, read_data, rows_of, validation_slice
from llm.training.pretrain.nights import nights_of
from llm.training.pretrain.settings import HOW, PretrainSettings
from llm.training.pretrain.vocabulary import fitting_vocabulary
from llm.training.work import (
    METRICS,
    MODEL,
    PHASES,
    SEEN,
    TRUNK,
    folder_digest,
    hand_over,
    last_line,
)
from llm.words import counted

if TYPE_CHECKING:
    from llm.training.ranks.rank import Group

LIBRARIES = ("torch", "numpy", "numba", "safetensors")


def pretrain(values: PretrainSettings, inputs: Inputs, context: Context) -> StepResult:
    """Train on `inputs["tokens"]` (tokenize artifacts) with `inputs["tokenizer"]`'s vocabulary.

    With values.continual, `inputs["tokens-0002"]` and so on are later nights'. inputs["init"]: a model
    folder to start from, when values.init names one. inputs["trunk"]: an earlier run's artifact; when
    it shares all that decides the steps before its decay, training goes on from there, to the bits
    that a run from scratch would give. inputs["inherited"]: the same of older code, which decides the
    result with the rest. Writes model/, trunk/, metrics.jsonl, seen.jsonl and phases.jsonl, which tells
    what the numbers in seen.jsonl count. Raises BadInput, TrainingError.
    """
    job = prepare(values, inputs, context)
    context.launch.train(
        __name__,
        job,
        context,
        parts=values.data_parallel,
        steps=job["steps"],
        most_bytes=_most_bytes(values, job),
    )
    hand_over(context.work, context.out, (MODEL, TRUNK, METRICS, SEEN))
    continual.write_history(job["history"], context.out / PHASES)
    tokens = job["steps"] * values.batch_tokens
    loss = last_line(context.out / METRICS)["loss"]
    counts = {
        "steps": job["steps"],
        "trunk_steps": job["trunk_at"],
        "tokens": tokens,
        "corpus_tokens": job["corpus_tokens"],
        "epochs": job["epochs"],
        "matrix_parameters": ModelConfig(**job["config"]).matrix_parameters,
        "loss": round(loss, 4),
        **Incidents.read(context.work).counts(),
    }
    summary = f"{counted(tokens, 'token')} in {counted(job['steps'], 'step')}, loss {loss:.3f}"
    if values.continual is not None:
        counts["phases"] = job["trunk_phases"]
        told = continual.tell(job["history"], job["trunk_phases"], context.report)
        summary += f"; {told}"
    if values.packing == "best_fit":
        counts["epoch_padding"] = job["padding"]
    if job["mix"]:
        counts["epoch_windows"] = job["mix"]
        shares = (f"{name} {windows:,}" for name, windows in job["mix"].items())
        summary += f"; windows an epoch: {', '.join(shares)}"
    return StepResult(counts=counts, content=folder_digest(context.out / MODEL), summary=summary)


def _most_bytes(values: PretrainSettings, job: dict[str, Any]) -> int:
    """The most that the run has on the disk at once."""
    whole = dataclasses.replace(values, tokens=job["steps"] * values.batch_tokens)
    tokenizer = Path(job["tokenizer"]).stat().st_size
    cost = unkeyed("llm.training.scaling.cost")  # of what is written, it decides nothing
    found = cost.cost(whole, ModelConfig(**job["config"]), tokenizer, job["corpus_tokens"])
    return int(found.work_bytes)


def prepare(values: PretrainSettings, inputs: Inputs, context: Context) -> dict[str, Any]:
    """The job for the ranks, JSON; everything that can be wrong with the input is found here."""
    tokenizer = inputs["tokenizer"][0] / "tokenizer.json"
    nights = nights_of(inputs)
    shards = [[(folder / "train.arrow").resolve() for folder in night] for night in nights]
    init = inputs["init"][0] if inputs.get("init") else None
    length = values.model.context_length
    course = continual.course(values, shards)
    data = read_data(values, course.data)
    first = data.phase(0)
    config = resolve(values, tokenizer, init)
    objective = build_objective(values.objective, values.seed, Tokenizer.from_file(str(tokenizer)))
    check_rows(rows_of(values, data, objective), values)
    identity = identify(values, config, course.phases[0].shards, init)
    joined = continual.joined(course.data)
    start = trunk.adopt(
        inputs.get("trunk", ()),
        lambda note: note["identity"] == identity_at(identity, joined, int(note["step"])),
        course.trunk_at,
        context,
    )
    if inputs.get("inherited"):
        start = trunk.adopt(
            inputs["inherited"],
            lambda note: int(note["step"]) in course.begins,  # what it read was compared before
            course.trunk_at,
            context,
        )
    history = continual.history(values, course)
    return {
        "values": dataclasses.asdict(values),
        "config": dataclasses.asdict(config),
        "phases": [
            phase.describe() for phase in (start.data(course.data) if start else course.data)
        ],
        "validation": [
            str(path.with_name("validation.arrow")) for night in shards for path in night
        ],
        "corpus_tokens": sum(line["corpus_tokens"] for line in history[: len(course.phases)]),
        "history": history,
        "trunk_phases": len(course.phases),
        "steps": course.steps,
        "trunk_at": course.trunk_at,
        "epochs": {name: round(number, 2) for name, number in data.epochs(course.steps).items()},
        "mix": first.by_source,  # windows an epoch
        "padding": first.padding,  # positions an epoch
        "tokenizer": str(tokenizer.resolve()),
        "init": str(init.resolve()) if init else None,
        "start": str(start.folder.resolve()) if start else None,
        "identity": identity,
        "joined": joined,
        "ending": trunk.ending(values.schedule, course.trunk_at, course.steps),
        **context.launch.how(context.machine, length),
    }


def resolve(values: PretrainSettings, tokenizer: Path, init: Path | None) -> ModelConfig:
    """The model's sizes. Raises BadInput when `init` fits neither the recipe nor the tokenizer."""
    vocabulary = Tokenizer.from_file(str(tokenizer))
    config = values.model.resolve(id_count(vocabulary))
    if init is None:
        return config
    found = check_shape(values, init)
    tokens = fitting_vocabulary(init, vocabulary, found.vocabulary)
    return dataclasses.replace(config, vocabulary=tokens)


def check_shape(values: PretrainSettings, init: Path) -> ModelConfig:
    """What a model folder holds. Raises BadInput where that is another model than the recipe's."""
    from llm.models.folder import read_config  # imports torch, which this process else does without

    found = read_config(init)
    config = values.model.resolve(found.vocabulary)
    free = {*config.free_fields, "vocabulary"}
    for field in dataclasses.fields(config):
        wanted, has = getattr(config, field.name), getattr(found, field.name)
        if has != wanted and field.name not in free:
            raise BadInput(
                f"pretrain.init: {init} has {field.name} {has}, the recipe's pretrain.model makes it "
                f"{wanted}; set pretrain.model.{field.name} to {has}"
            )
    return found


def identify(
    values: PretrainSettings, config: ModelConfig, shards: Sequence[Path], init: Path | None
) -> str:
    """Digest of all that decides the weights before the decay and the second phase.

    Not how long the run is to be; shards: the first phase's.
    """
    recipe = deciding(values)
    for name in ("tokens", "init", "continual", *HOW):
        recipe.pop(name, None)
    recipe["mix"] = sorted(values.mix.items())
    for name in ("decay_fraction", "final_lr_fraction"):
        del recipe["schedule"][name]
    first = [file_digest(path) for path in sorted(init.glob("*.safetensors"))] if init else []
    return digest_of(
        [repr(recipe), repr(config), *first, "shards", *(file_digest(path) for path in shards)]
    )


def train(job: dict[str, Any], group: "Group", work: Path) -> bool:
    """What every rank does; whether it came to the end."""
    from llm.models.build import build
    from llm.models.folder import load_model, save
    from llm.models.growth import grown
    from llm.training import devices, loop

    values = restored(PretrainSettings, job["values"])
    device = devices.choose(job["device"])
    compute_type = devices.compute_type(values.precision, device)
    config = ModelConfig(**job["config"])
    model = build(config, compute_type)
    if job["init"]:
        first = load_model(Path(job["init"])).state_dict()
        model.load_state_dict(grown(first, config.vocabulary))
    elif group.rank == 0:  # the others get its weights by sharing them
        model.initialise(values.seed)
    data = read_data(values, [Phase.read(described) for described in job["phases"]])
    objective = build_objective(
        values.objective, values.seed, Tokenizer.from_file(job["tokenizer"])
    )
    rows = rows_of(values, data, objective)
    plan = values.plan(
        job,
        steps=job["steps"],
        tokens_per_step=values.batch_tokens,
        decay_from=job["trunk_at"],
        joined=[(begin, digest) for begin, digest in job["joined"]],
        ending=job["ending"],
        flops_per_token=config.training_flops_per_token(config.context_length),
        trunk_at=job["trunk_at"],
    )
    start = Path(job["start"]) if job["start"] else None
    model.z_loss = values.z_loss
    measured = validation_slice(values, job, objective, group) if values.validate_every else None
    done = loop.train(model.to(device), rows, objective, plan, group, work, start, measured)
    if done == plan.steps and group.rank == 0:
        save(model, work / MODEL, Path(job["tokenizer"]))
    return done == plan.steps


if __name__ == "__main__":
    from llm.training.ranks import rank

    sys.exit(rank.run(train, sys.argv[1:]))
