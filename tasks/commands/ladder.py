"""Ladder: small runs of a recipe, each an ordinary pretrain step, and what they recommend."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from llm.recipe import STAGES, Recipe, load_machine
from llm.runs import Outputs, Runs, outputs_from_json
from llm.step import BadInput, Reporter
from llm.store import Reference, Store
from llm.tokens.special import id_count
from llm.training.pretrain.settings import PretrainSettings
from llm.training.scaling import ladder
from llm.training.scaling.ladder import Climbed, Pace, Rung, Timed
from llm.training.scaling.recommend import Recommendation, recommend
from tasks.commands.trials import Trials
from tasks.engine.home import Home
from tasks.engine.record import Result, night_of, take
from tasks.engine.run import Options, Run, Stages
from tasks.engine.verdict import differences
from tasks.stages.pretrain import call_of

LADDER = "ladder"
"""What the rungs are in a run record, beside the stages."""

BEFORE = STAGES[: STAGES.index("pretrain")]


def budget_seconds(minutes: float, budget: float | None) -> float:
    """For all small runs together: `budget` minutes, or a quarter of those of the run to plan."""
    return 60 * (minutes / 4 if budget is None else budget)


def tokens_of(runs: Runs, recipe: Recipe) -> dict[str, Result]:
    """The stages before pretrain, as the newest run of the recipe left them.

    Raises BadInput where there is none, or the recipe says something else of them now.
    """
    newest = runs.newest(recipe.name, BEFORE[-1])
    if newest is None:
        raise BadInput(
            f"no run of {recipe.name} has made tokens yet: run it first, --until tokenize"
        )
    values = recipe.model_dump(mode="json")
    changed = [
        path
        for stage in BEFORE
        for path, _, _ in differences(newest.values[stage], values[stage], stage)
    ]
    if changed:
        raise BadInput(
            f"{', '.join(changed[:3])} changed since the newest run of {recipe.name} made its tokens: "
            "run it first, --until tokenize, with the same --set"
        )
    return take(runs, recipe, BEFORE)


def foresee(
    home: Home, recipe: Recipe, seconds: float, options: Options, report: Reporter
) -> list[Rung]:
    """What a climb is going to train in `seconds`; trains nothing but for a trial. Raises BadInput."""
    taken = tokens_of(home.runs, recipe)
    stages = {name: outputs_from_json(stage["outputs"]) for name, stage in taken.items()}
    machine = load_machine(home.machine_file, options.machine)
    day = night_of(home.runs, recipe, None, from_newest=True)
    run = Run(LADDER, recipe, day, home.store, home.runs, machine, options)
    return _planned(run, stages, seconds, report)


def climb(run: Run, stages: Stages, seconds: float, report: Reporter) -> Outputs:
    """Plan the rungs and train them: those that a law needs, then others while they fit.

    Raises BadInput before any training where `seconds` are too few for a law. What rungs took stands
    in their manifests and decides when the next does not fit, so that a second climb with the same
    budget ends at the same rung and computes nothing, and one with a larger budget goes on there.
    """
    run.force_with = f"penstock {LADDER} --force"
    _planned(run, stages, seconds, report)
    climbed: list[Climbed] = []
    made: dict[str, Reference] = {}
    for rung in ladder.rungs(run.recipe.pretrain, _vocabulary(run.store, stages)):
        if not ladder.goes_on(climbed, rung, seconds):
            break
        made[rung.label] = run.step(call_of(run, stages, rung.settings, rung.label))
        climbed.append(_read(run.store, rung, made[rung.label]))
    return {"model": made}


def _planned(run: Run, stages: Stages, seconds: float, report: Reporter) -> list[Rung]:
    """The rungs that `seconds` are expected to be enough for, told to the user. Raises BadInput."""
    settings, vocabulary = run.recipe.pretrain, _vocabulary(run.store, stages)
    made: list[Climbed] = []
    for rung in ladder.rungs(settings, vocabulary):
        climbed = _made(run, stages, rung) if ladder.goes_on(made, rung, seconds) else None
        if climbed is None:
            break
        made.append(climbed)
    coming = ladder.rungs(settings, vocabulary)
    if ladder.is_enough([each.rung for each in made]):
        planned = ladder.plan(coming, ladder.pace_of(made), seconds, made)
    else:
        pace = _tried_pace(run, stages, report)
        planned = ladder.plan(coming, pace, seconds)
    told = [
        {
            "layers": rung.settings.model.layers,
            "d_model": rung.settings.model.d_model,
            "parameters": rung.parameters,
            "tokens": rung.settings.tokens,
            "seconds": round(each, 1),
        }
        for rung, each in planned
    ]
    report.info(
        f"{len(planned)} small runs are planned ({len(made)} made), which take some "
        f"{sum(each for _, each in planned) / 60:,.3g} minutes: "
        + ", ".join(rung.label for rung, _ in planned)
    )
    report.table("plan", told, "Small runs planned, and the seconds that they are expected to take")
    return [rung for rung, _ in planned]


def _tried_pace(run: Run, stages: Stages, report: Reporter) -> Pace:
    """The machine's pace by trials of two sizes, which tell its overhead and its rate."""
    vocabulary = _vocabulary(run.store, stages)
    needed = ladder.until_enough(ladder.rungs(run.recipe.pretrain, vocabulary))
    trials = Trials(run.runs.folder, run.store, run.machine)
    tried = []
    for rung in (needed[0], needed[-1]):  # the smallest and the largest
        if trials.find(rung.settings, vocabulary) is None:
            report.info(f"trying the first steps of {rung.label}, to tell what fits the budget")
        found, _ = trials.get(rung.settings, vocabulary)
        step, whole = found.seconds_per_step(rung.settings), found.seconds(rung.settings)
        tried.append(Timed(rung=rung, step_seconds=step, seconds=whole))
    return ladder.pace_of(tried)


@dataclasses.dataclass(frozen=True)
class Advice:
    """What a ladder came to. settings: the recipe's section that it belongs to."""

    settings: PretrainSettings
    climbed: Sequence[Climbed]
    found: Recommendation

    @property
    def changes(self) -> dict[str, Any]:
        """Paths in the recipe → values that train what is recommended."""
        changed = {
            f"pretrain.model.{field.name}": getattr(self.found.choice.model, field.name)
            for field in dataclasses.fields(self.settings.model)
            if getattr(self.found.choice.model, field.name)
            != getattr(self.settings.model, field.name)
        }
        return {**changed, "pretrain.tokens": self.found.choice.tokens}

    def rows(self) -> list[dict[str, Any]]:
        """A row a rung. fitted: the loss that the law gives for it."""
        rows = []
        for each in self.climbed:
            model, seen = each.rung.settings.model, each.observation
            rows.append(
                {
                    "layers": model.layers,
                    "d_model": model.d_model,
                    "parameters": each.rung.parameters,
                    "tokens": each.rung.settings.tokens,
                    "loss": round(each.loss, 4),
                    "fitted": round(self.found.law.loss(seen.parameters, seen.tokens), 4),
                    "tokens_per_second": round(1 / each.seconds_per_token),
                    "seconds": round(each.seconds, 1),
                }
            )
        return rows

    def candidates(self) -> list[dict[str, Any]]:
        """A row a size that can be trained in the time."""
        return [
            {
                "layers": each.model.layers,
                "d_model": each.model.d_model,
                "parameters": each.parameters,
                "tokens": each.tokens,
                "epochs": round(each.epochs, 2),
                "loss": round(each.loss, 4),
            }
            for each in self.found.candidates
        ]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        found = self.found
        return {
            "unit": found.unit,
            "rungs": self.rows(),
            "law": dataclasses.asdict(found.law),
            "speed": {**dataclasses.asdict(found.speed), "start_up_seconds": found.start_up},
            "candidates": self.candidates(),
            "choice": {
                **self.candidates()[found.best],
                "low": round(found.low, 4),
                "high": round(found.high, 4),
            },
            "set": self.changes,
            "notes": list(found.notes),
        }


def advise(home: Home, run_id: str, recipe: Recipe, seconds: float) -> Advice:
    """What the rungs of a finished climb recommend for a run of `seconds`. Raises BadInput."""
    outputs = home.runs.load(run_id).outputs
    made = (outputs(LADDER) or {"model": {}})["model"]
    stages = {"tokenizer": outputs("tokenizer") or {}}
    settings, vocabulary = recipe.pretrain, _vocabulary(home.store, stages)
    coming = ladder.rungs(settings, vocabulary)
    climbed = [_read(home.store, next(coming), reference) for reference in made.values()]
    return Advice(settings, climbed, recommend(settings, vocabulary, climbed, seconds))


def _made(run: Run, stages: Stages, rung: Rung) -> Climbed | None:
    """A rung that a climb would take from the store."""
    found = run.judged(call_of(run, stages, rung.settings, rung.label)).artifact
    return None if found is None else _read(run.store, rung, found.reference)


def _read(store: Store, rung: Rung, reference: Reference) -> Climbed:
    artifact = store.read(reference.step, reference.key)
    assert artifact is not None, "it was made or found a moment ago"
    manifest = artifact.manifest
    return ladder.read(
        rung,
        store.local(reference) / "metrics.jsonl",
        manifest["seconds"],
        manifest["counts"]["corpus_tokens"],
    )


def _vocabulary(store: Store, stages: Stages) -> int:
    [tokenizer] = stages["tokenizer"]["tokenizer"].values()
    path = store.local(tokenizer) / "tokenizer.json"
    return id_count(Tokenizer.from_file(str(path)))
