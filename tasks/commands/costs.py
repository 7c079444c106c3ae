"""What training will take, for a plan: by formula, and as a trial on this machine has shown."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from llm.machine import Machine
from llm.parts import load
from llm.recipe import Recipe
from llm.step import BadInput, Reporter
from llm.store import Reference
from llm.tokens.imports import add_missing, read_tokenizer, tokenizer_files
from llm.tokens.special import id_count, reserved
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import task_of
from llm.training.pretrain.continual import course
from llm.training.pretrain.nights import nights_of
from llm.training.pretrain.settings import PretrainSettings
from llm.training.ranks import launch
from llm.training.ranks.memory import available_bytes
from llm.training.ranks.room import free_bytes
from llm.training.scaling import trial
from llm.training.scaling.cost import UTILISATION, cost, seconds_at_peak
from llm.training.scaling.trial import Trial
from llm.training.work import CHECKPOINTS, MODEL
from tasks.commands.trials import Trials, gpu_name
from tasks.engine.home import Home
from tasks.engine.plan import PlanRun
from tasks.engine.step import UNKNOWN, Call
from tasks.stages.finetune import FINETUNE
from tasks.stages.pretrain import PRETRAIN
from tasks.stages.trunk import INHERITED


class Costs:
    """Tells what a pretrain call takes; a trial is made where none fits that was made before.

    Of a task with an adapter, how few of the weights it trains.
    """

    def __init__(self, home: Home, with_trial: bool, report: Reporter) -> None:
        self.home, self.with_trial, self.report = home, with_trial, report

    def __call__(self, run: PlanRun, call: Call) -> Mapping[str, Any] | None:
        """What a call takes, as plain JSON; None for other steps.

        seconds, hours, memory_bytes and device_bytes are None where they are not known; `how` says
        where they come from, or why there are none.
        """
        if call.step is FINETUNE:
            return _adapter(run, call)
        if call.step is not PRETRAIN:
            return None
        values = _whole(run, call)
        vocabulary, tokenizer_bytes = _tokenizer(run, call)
        config = values.model.resolve(vocabulary)
        took = cost(values, config, tokenizer_bytes, _corpus_tokens(run, call))
        done = _steps_done(run, call)
        found: dict[str, Any] = {**dataclasses.asdict(took), "steps_done": done}
        found["free_bytes"] = free_bytes(run.store.scratch)
        tried, how = self._trial(values, vocabulary, run.machine, took.state_bytes)
        if tried is not None:
            seconds: float | None = tried.seconds(values, done)
            found |= {"memory_bytes": tried.memory_bytes, "device_bytes": tried.device_bytes}
        else:
            device = gpu_name() if launch.on_gpu(run.machine.device) else None
            flops = took.flops * (took.steps - done) // took.steps
            seconds = seconds_at_peak(flops, device) if device else None
            found |= {"memory_bytes": None, "device_bytes": None}
            if seconds is not None:
                how += f"; time: {100 * UTILISATION:.0f} % of the peak of {device}"
        hours = None if seconds is None else round(seconds / 3600, 4)
        return {**found, "seconds": seconds and round(seconds, 1), "hours": hours, "how": how}

    def _trial(
        self, values: PretrainSettings, vocabulary: int, machine: Machine, least: int
    ) -> tuple[Trial | None, str]:
        """A trial of this model on this machine, and which one it is, or why there is none."""
        trials = Trials(self.home.folder, self.home.store, machine)
        if (found := trials.find(values, vocabulary)) is not None:
            return found
        if not self.with_trial:
            return None, "not tried on this machine (--no-trial)"
        free = None if launch.on_gpu(machine.device) else available_bytes()
        if free is not None and free < least:
            return (
                None,
                f"not tried: it takes {least:,} bytes of memory at least, {free:,} are free",
            )
        self.report.info(
            f"trying the first steps of pretraining for {trial.STEPS_SECONDS:.0f} s and the "
            "time to start, to tell how long all of them take (--no-trial leaves it out)"
        )
        try:
            return trials.get(values, vocabulary)
        except (BadInput, launch.TrainingError) as error:
            return None, f"the trial failed: {error}"


def _adapter(run: PlanRun, call: Call) -> Mapping[str, Any] | None:
    """How many numbers a task with an adapter trains, of how many; None where its base is not known yet."""
    values: FinetuneSettings = call.values
    [base] = call.inputs["model"]
    if values.adapt is None or not isinstance(base, Reference):
        return None
    if base.key != UNKNOWN and run.store.read(base.step, base.key) is not None:
        from llm.models.folder import read_config  # imports torch

        config = read_config(run.store.local(base) / MODEL)
    elif base.step == PRETRAIN.name:
        config = run.recipe.pretrain.model.resolve(_planned_vocabulary(run.recipe))
    else:
        return None
    task = task_of(values.task)
    planned = load("adapt", values.adapt.type).planned_counts
    found: dict[str, int] = planned(config, values.adapt, task.reserves)
    return {**found, "vocabulary": config.vocabulary, "and_head": not task.writes}


def _tokenizer(run: PlanRun, call: Call) -> tuple[int, int | None]:
    """How many tokens the model is going to know, and the bytes of tokenizer.json where it is made."""
    reference, size = call.inputs["tokenizer"][0], None
    assert isinstance(reference, Reference), "pretraining takes it from the stage"
    if reference.key != UNKNOWN and run.store.read(reference.step, reference.key) is not None:
        path = run.store.local(reference) / "tokenizer.json"
        vocabulary, size = id_count(Tokenizer.from_file(str(path))), path.stat().st_size
    else:
        vocabulary = _planned_vocabulary(run.recipe)
    init = call.values.init
    if init is not None:
        from llm.models.folder import read_config  # imports torch

        vocabulary = max(vocabulary, read_config(Path(init)).vocabulary)
    return vocabulary, size


def _planned_vocabulary(recipe: Recipe) -> int:
    """As the tokenizer stage is going to make it; an imported one gets what it lacks."""
    settings = recipe.tokenizer
    if settings.imported is None:
        return settings.vocabulary
    tokenizer = read_tokenizer(tokenizer_files(Path(settings.imported)), settings.pattern)
    add_missing(tokenizer, reserved(settings.reserve))
    return id_count(tokenizer)


def _whole(run: PlanRun, call: Call) -> PretrainSettings:
    """The call's values with the tokens of all nights; where these are not made yet, of the first."""
    values: PretrainSettings = call.values
    if values.continual is None or not call.is_known or not run.store.is_local:
        return values
    nights = [
        [run.store.local(shard) / "train.arrow" for shard in night if isinstance(shard, Reference)]
        for night in nights_of(call.inputs)
    ]
    return dataclasses.replace(values, tokens=course(values, nights).steps * values.batch_tokens)


def _corpus_tokens(run: PlanRun, call: Call) -> int | None:
    """Tokens of the training split; None where not all of it is made."""
    if not call.is_known:
        return None
    return sum(
        source["tokens"]
        for night in nights_of(call.inputs)
        for shard in night
        if isinstance(shard, Reference)
        for source in run.counts(shard).get("train", {}).values()
    )


def _steps_done(run: PlanRun, call: Call) -> int:
    """Steps that need not be made: an earlier run's up to its decay, or those of a stopped one."""
    trunks = [*call.hints.get("trunk", ()), *call.inputs.get(INHERITED, ())]
    done = max(
        [run.counts(one).get("trunk_steps", 0) for one in trunks if isinstance(one, Reference)],
        default=0,
    )
    if call.is_known and run.stage not in run.options.force:
        work = run.store.scratch / "work" / call.step.name / call.key / "work" / CHECKPOINTS
        steps = [int(path.name.removeprefix("step-")) for path in work.glob("step-*")]
        done = max([done, *steps])
    return done
