"""The pretrain step: token shards in, a model folder out.

The step has torchrun start this module's `train` on every rank and waits. Ranks import torch, the
step does not: the commands that only plan or look stay quick.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tokenizers import Tokenizer

from llm.durable import file_digest
from llm.models.config import ModelConfig, ModelSettings
from llm.settings import section, setting
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.tokens.batches import Packing
from llm.tokens.phases import Phase
from llm.training import continual, launch, trunk
from llm.training.continual import ContinualSettings
from llm.training.data import check_rows, read_data, rows_of, validation_slice
from llm.training.incidents import Incidents
from llm.training.objectives.settings import ObjectiveSettings, check_pairing
from llm.training.optimizer import OptimizerSettings
from llm.training.plan import Plan, SpikeSettings, identity_at
from llm.training.schedule import ScheduleSettings, decay_start, learning_rate
from llm.training.vocabulary import fitting_vocabulary
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

if TYPE_CHECKING:
    from llm.training.ranks import Group

LIBRARIES = ("torch", "numpy", "safetensors")

MOST_WEIGHT = 1000
# What decides how a run is kept and watched, not what comes out of it.
HOW = ("checkpoint_every", "keep_last", "keep_every", "validate_every", "validation_tokens")


@section
class PretrainSettings:
    """How the base model is trained."""

    model: ModelSettings = setting(default=ModelSettings, description="The decoder's shape.")
    objective: ObjectiveSettings = setting(
        default=ObjectiveSettings, description="What the model learns to predict."
    )
    tokens: int = setting(
        default=3_000_000,
        description="How much to train on, repeating the corpus as needed (tokens, rounded up to whole steps). "
        "Raise it later: training goes on, it does not start again.",
        gt=0,
    )
    mix: dict[str, float] = setting(
        default=dict,
        description="How often the documents of a source are seen for each time those of a source with weight 1 "
        "are, by the source's name (0 to 1,000; 0 leaves it out; sources not named have weight 1).",
    )
    packing: Packing = setting(
        default="concat",
        description="How documents become rows of context_length: concat, end to end and cut; best_fit, whole "
        "(longer ones in pieces), each apart from the others in its row, with some padding.",
    )
    document_mask: bool = setting(
        default=False,
        description="With packing concat: tokens do not see the document before theirs in a row.",
    )
    batch_tokens: int = setting(
        default=4096,
        description="Tokens of one optimizer step; a multiple of model.context_length.",
        gt=0,
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
        default=1, description="Seed of the first weights and of the order of windows.", ge=0
    )
    checkpoint_every: int = setting(
        default=200,
        description="A checkpoint after every so many steps (steps).",
        ge=1,
    )
    keep_last: int = setting(
        default=2, description="How many of the last checkpoints are kept (count).", ge=1
    )
    keep_every: int | None = setting(
        default=None,
        description="Checkpoints after a multiple of so many steps are kept while the run lasts (steps); none: no "
        "more than the last.",
        ge=1,
    )
    spikes: SpikeSettings = setting(
        default=SpikeSettings, description="What happens when the loss leaps or is no number."
    )
    z_loss: float = setting(
        default=0.0,
        description="Weight of the squared logarithm of the softmax's sum in the loss, which keeps logits small "
        "(no unit, such as 1e-4).",
        ge=0,
    )
    validate_every: int | None = setting(
        default=None,
        description="Measure the loss on a slice of the validation split after every so many steps (steps); none: "
        "never. It changes nothing in training.",
        ge=1,
    )
    validation_tokens: int = setting(
        default=65_536, description="Size of that slice (tokens).", ge=1
    )
    continual: ContinualSettings | None = setting(
        default=None,
        description="Each night goes on from the trunk of the night before, which has not decayed, with what is new "
        "and replay of older text; its release is a decay from there, and the tokenizer stays. none: every night "
        "trains anew. `tokens` is for the first night.",
    )
    init: str | None = setting(
        default=None,
        description="Model folder (as Penstock or transformers writes it) to start from; none: random weights.",
    )

    def __post_init__(self) -> None:
        rows, rest = divmod(self.batch_tokens, self.model.context_length)
        if rest or rows < self.data_parallel:
            raise ValueError(
                f"batch_tokens {self.batch_tokens} must be a multiple of model.context_length "
                f"{self.model.context_length}, and at least data_parallel {self.data_parallel} "
                "times that"
            )
        check_pairing(self.objective, self.model.architecture)
        if self.continual is not None:
            stable = decay_start(self.schedule, self.steps, self.batch_tokens)
            if self.schedule.type != "wsd" or not stable:
                raise ValueError(
                    "continual goes on from before the decay: it needs schedule.type wsd (it is "
                    f"{self.schedule.type}) and a decay_fraction that leaves steps before the decay "
                    f"(of {self.steps} it leaves {stable})"
                )
        for name, weight in self.mix.items():
            if not 0 <= weight <= MOST_WEIGHT:
                raise ValueError(f"mix.{name} is {weight}: a weight is from 0 to {MOST_WEIGHT:,}")

    @property
    def rows(self) -> int:
        """Windows of one step."""
        return self.batch_tokens // self.model.context_length

    @property
    def steps(self) -> int:
        """Steps of the whole run; of the first night where nights follow each other."""
        return -(-self.tokens // self.batch_tokens)


def pretrain(values: PretrainSettings, inputs: Inputs, context: Context) -> StepResult:
    """Train on `inputs["tokens"]` (tokenize artifacts) with `inputs["tokenizer"]`'s vocabulary.

    With values.continual, `inputs["tokens-0002"]` and so on are later nights'. inputs["init"]: a model
    folder to start from, when values.init names one. inputs["trunk"]: an earlier run's artifact; when
    it shares all that decides the steps before its decay, training goes on from there, to the bits
    that a run from scratch would give. inputs["inherited"]: the same of older code, which decides the
    result with the rest. Writes model/, trunk/, metrics.jsonl, seen.jsonl and phases.jsonl, which tells
    what the numbers in seen.jsonl count. Raises BadInput, launch.TrainingError.
    """
    job = prepare(values, inputs, context)
    processes = launch.processes_for(context.machine, values.data_parallel)
    launch.run(__name__, job, context, processes, job["steps"])
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
    summary = f"{tokens:,} tokens in {job['steps']:,} steps, loss {loss:.3f}"
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


def prepare(values: PretrainSettings, inputs: Inputs, context: Context) -> dict[str, Any]:
    """The job for the ranks, JSON; everything that can be wrong with the input is found here."""
    tokenizer = inputs["tokenizer"][0] / "tokenizer.json"
    nights = continual.nights_of(inputs)
    shards = [[(folder / "train.arrow").resolve() for folder in night] for night in nights]
    init = inputs["init"][0] if inputs.get("init") else None
    length = values.model.context_length
    course = continual.course(values, shards)
    data = read_data(values, course.data)
    first = data.phase(0)
    config = resolve(values, tokenizer, init)
    check_rows(rows_of(values, data, tokenizer), values)
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
        **launch.how(context.machine, length),
    }


def resolve(values: PretrainSettings, tokenizer: Path, init: Path | None) -> ModelConfig:
    """The model's sizes. Raises BadInput when `init` fits neither the recipe nor the tokenizer."""
    vocabulary = Tokenizer.from_file(str(tokenizer))
    # An imported vocabulary may have gaps.
    config = values.model.resolve(1 + max(vocabulary.get_vocab().values()))
    if init is None:
        return config
    from llm.models.folder import read_config  # imports torch, which this process else does without

    found = read_config(init)
    tokens = fitting_vocabulary(init, vocabulary, found.vocabulary)
    free = {*config.free_fields, "vocabulary"}
    for field in dataclasses.fields(config):
        wanted, has = getattr(config, field.name), getattr(found, field.name)
        if has != wanted and field.name not in free:
            raise BadInput(
                f"pretrain.init: {init} has {field.name} {has}, the recipe's pretrain.model makes it "
                f"{wanted}; set pretrain.model.{field.name} to {has}"
            )
    return dataclasses.replace(config, vocabulary=tokens)


def identify(
    values: PretrainSettings, config: ModelConfig, shards: Sequence[Path], init: Path | None
) -> str:
    """Digest of all that decides the weights before the decay and the second phase.

    Not how long the run is to be; shards: the first phase's.
    """
    recipe = dataclasses.asdict(values)
    for name in ("tokens", "init", "continual", *HOW):
        del recipe[name]
    recipe["mix"] = sorted(values.mix.items())
    for name in ("decay_fraction", "final_lr_fraction"):
        del recipe["schedule"][name]
    first = [file_digest(path) for path in sorted(init.glob("*.safetensors"))] if init else []
    return digest_of(
        [repr(recipe), repr(config), *first, "shards", *(file_digest(path) for path in shards)]
    )


def settings_from(values: dict[str, Any]) -> PretrainSettings:
    """The settings as they were before they were written as JSON."""
    optimizer, nights = values["optimizer"], values["continual"]
    return PretrainSettings(
        **{
            **values,
            "model": ModelSettings(**values["model"]),
            "objective": ObjectiveSettings(**values["objective"]),
            "spikes": SpikeSettings(**values["spikes"]),
            "continual": ContinualSettings(**nights) if nights else None,
            "schedule": ScheduleSettings(**values["schedule"]),
            "optimizer": OptimizerSettings(**{**optimizer, "betas": tuple(optimizer["betas"])}),
        }
    )


def train(job: dict[str, Any], group: "Group", work: Path) -> bool:
    """What every rank does; whether it came to the end."""
    from llm.models.build import build
    from llm.models.folder import load_model, save
    from llm.models.growth import grown
    from llm.training import devices, loop

    values = settings_from(job["values"])
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
    rows = rows_of(values, data, Path(job["tokenizer"]))
    plan = Plan(
        steps=job["steps"],
        tokens_per_step=values.batch_tokens,
        parts=values.data_parallel,
        learning_rate=lambda step: learning_rate(
            values.schedule, step, job["steps"], values.batch_tokens, job["trunk_at"]
        ),
        optimizer=values.optimizer,
        seed=values.seed,
        identity=job["identity"],
        joined=[(begin, digest) for begin, digest in job["joined"]],
        ending=job["ending"],
        clip=values.clip,
        micro_batch=job["micro_batch"],
        parallelism=job["parallelism"],
        compiled=job["compiled"],
        checkpoint_every=values.checkpoint_every,
        keep_last=values.keep_last,
        keep_every=values.keep_every,
        spikes=values.spikes,
        flops_per_token=config.training_flops_per_token(config.context_length),
        trunk_at=job["trunk_at"],
    )
    start = Path(job["start"]) if job["start"] else None
    model.z_loss = values.z_loss
    measured = validation_slice(values, job, group) if values.validate_every else None
    done = loop.train(model.to(device), rows, plan, group, work, start, measured)
    if done == plan.steps and group.rank == 0:
        save(model, work / MODEL, Path(job["tokenizer"]))
    return done == plan.steps


if __name__ == "__main__":
    from llm.training import ranks

    sys.exit(ranks.run(train, sys.argv[1:]))
