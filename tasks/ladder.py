"""Ladder: small runs of a recipe, each an ordinary pretrain step, and what they recommend."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from llm.recipe import STAGES, Recipe
from llm.runs import Outputs, Runs, outputs_from_json
from llm.step import BadInput
from llm.store import Reference, Store
from llm.training import ladder
from llm.training.ladder import Climbed, Rung
from llm.training.pretrain_settings import PretrainSettings
from llm.training.recommend import Recommendation, recommend
from llm.training.scaling import FEWEST
from tasks.home import Home
from tasks.pretrain import call_of
from tasks.record import Result, take
from tasks.run import Run, Stages
from tasks.verdict import differences

LADDER = "ladder"
"""What the rungs are in a run record, beside the stages."""

BEFORE = STAGES[: STAGES.index("pretrain")]


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


def check(home: Home, recipe: Recipe) -> None:
    """Raise BadInput for a recipe that no ladder can be made of."""
    stages = {"tokenizer": outputs_from_json(tokens_of(home.runs, recipe)["tokenizer"]["outputs"])}
    next(ladder.rungs(recipe.pretrain, _vocabulary(home.store, stages)))


def climb(run: Run, stages: Stages, seconds: float) -> Outputs:
    """Train rung after rung, until the next would take more than what is left of `seconds`.

    What rungs took stands in their manifests, so that a second climb with the same budget ends at
    the same rung and computes nothing, and one with a larger budget goes on there.
    """
    run.anew = f"penstock {LADDER} --force"
    climbed: list[Climbed] = []
    made: dict[str, Reference] = {}
    for rung in ladder.rungs(run.recipe.pretrain, _vocabulary(run.store, stages)):
        spent = sum(each.seconds for each in climbed)
        if spent + ladder.expected_seconds(climbed, rung) > seconds:
            break
        made[rung.label] = run.step(call_of(run, stages, rung.settings, rung.label))
        climbed.append(_read(run.store, rung, made[rung.label]))
    return {"model": made}


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
    if not ladder.is_enough([each.rung for each in climbed]):
        needed = ladder.seconds_until_enough(climbed, coming)
        sizes = len({each.rung.parameters for each in climbed})
        raise BadInput(
            f"the budget ended after {len(climbed)} small runs ({sizes} of {ladder.FEWEST_SIZES} sizes): "
            f"a law needs more than {FEWEST} of {ladder.FEWEST_SIZES} sizes. They are kept: go on with "
            f"--budget {math.ceil(needed / 6) / 10:g} or more"
        )
    return Advice(settings, climbed, recommend(settings, vocabulary, climbed, seconds))


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
    return int(Tokenizer.from_file(str(path)).get_vocab_size())
