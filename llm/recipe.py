"""What to run: one section a stage, YAML in, validated values out.

A recipe may extend another (`extends: demo.yaml`, beside it), and single values are overridden
from the command line (`pretrain.tokens=6_000_000`). What cannot succeed is refused here, before
anything runs: see `recipe_rules`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic

from llm.corpus.clean import CleanSettings
from llm.corpus.crawl import CrawlSettings
from llm.evaluation.evaluate import EvaluateSettings
from llm.evaluation.promotion_settings import PromoteSettings
from llm.machine import Machine
from llm.recipe_fields import Field, fields_of
from llm.recipe_machine import of_machine
from llm.recipe_messages import Problems, explained, told
from llm.recipe_names import RECIPES, RecipeError, find_recipe
from llm.recipe_reading import read_file, read_tree, set_value
from llm.recipe_rules import always, broken
from llm.recipe_values import values
from llm.recipe_yaml import BadYAML, Fields, Place
from llm.settings import section, setting
from llm.tokens.encode_settings import TokenizeSettings
from llm.tokens.train_settings import TokenizerSettings
from llm.training.finetune_settings import FinetuneSettings
from llm.training.pretrain_settings import PretrainSettings

T = TypeVar("T")
Name = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


@section
class PolicySettings:
    """What happens to finished work when the code changes, and how long it is kept."""

    code_changed: Literal["ask", "keep", "rerun"] = setting(
        default="ask",
        description="When the code or a library of an expensive step changed: ask at a terminal (unattended: "
        "keep its artifact and say so), keep it, or rerun it.",
    )
    expensive_seconds: float = setting(
        default=600.0,
        description="A step is expensive when its last run took longer than this (seconds).",
        ge=0,
    )
    keep_runs: int = setting(
        default=14,
        description="Newest runs of this recipe whose artifacts `penstock gc` keeps (count).",
        ge=1,
    )


class Recipe(pydantic.BaseModel):
    """Everything that decides a run."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: Name = pydantic.Field(
        description="Name of the recipe: lowercase letters, digits, dashes."
    )
    snapshot: str | None = pydantic.Field(
        None,
        description="Which crawl to work on (letters, digits, dots, dashes, underscores); none: the day of "
        "the run (the scheduled one), so that every night crawls again.",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$",
    )
    crawl: CrawlSettings = CrawlSettings()
    clean: CleanSettings = CleanSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    tokenize: TokenizeSettings = TokenizeSettings()
    pretrain: PretrainSettings = PretrainSettings()
    finetune: tuple[FinetuneSettings, ...] = ()
    evaluate: EvaluateSettings = EvaluateSettings()
    promote: PromoteSettings = PromoteSettings()
    policy: PolicySettings = PolicySettings()

    @pydantic.field_validator("crawl", mode="before")
    @classmethod
    def _drop_sources_set_to_null(cls, crawl: Any) -> Any:
        """`docs: null` in a recipe that extends another leaves that one's source out."""
        if not isinstance(crawl, dict) or not isinstance(crawl.get("sources"), dict):
            return crawl
        kept = {name: source for name, source in crawl["sources"].items() if source is not None}
        if crawl["sources"] and not kept:
            raise ValueError("crawl.sources: no source is left: name one of your own")
        return {**crawl, "sources": kept}

    @pydantic.model_validator(mode="after")
    def _goes_together(self) -> "Recipe":
        found = list(always(self))
        if found:
            raise Problems(found)
        return self


STAGES = tuple(name for name in Recipe.model_fields if name not in ("name", "snapshot", "policy"))

__all__ = ["RECIPES", "STAGES", "PolicySettings", "Recipe", "RecipeError", "find_recipe"]


def load_recipe(name: str, overrides: Sequence[str] = (), stages: Sequence[str] = STAGES) -> Recipe:
    """Read, extend, override and validate a recipe. Raises RecipeError.

    stages: those that are going to run: what only other stages could not do is no fault.
    """
    path = find_recipe(name)
    tree = read_tree(path, list(overrides))
    recipe = _validated(Recipe, tree, f"the recipe {name}")
    problems = [told(problem, tree) for problem in broken(recipe, stages)]
    if problems:
        raise RecipeError(_wrong(f"the recipe {name}", problems))
    return recipe


def load_machine(path: Path, overrides: Sequence[str] = ()) -> Machine:
    """Read how to use this machine; a missing file means the defaults. Raises RecipeError."""
    tree = read_file(path) if path.is_file() else Fields({}, Place(str(path), 0))
    for override in overrides:
        set_value(tree, override, "machine.")
    machine = _validated(Machine, tree, f"the machine file {path}")
    problems = [told(problem, tree) for problem in of_machine(machine)]
    if problems:
        raise RecipeError(_wrong(f"the machine file {path}", problems))
    return machine


def _validated(kind: type[T], tree: Fields, what: str) -> T:
    """A recipe or a machine from its tree. Raises RecipeError naming everything that is wrong."""
    try:
        return pydantic.TypeAdapter(kind).validate_python(values(tree, kind))
    except BadYAML as error:
        raise RecipeError(str(error)) from None
    except pydantic.ValidationError as error:
        raise RecipeError(_wrong(what, explained(kind, error.errors(), tree))) from None


def _wrong(what: str, lines: Sequence[str]) -> str:
    return f"{what} is wrong:\n  " + "\n  ".join(lines)


def fields() -> Iterator[Field]:
    """Every field of the recipe with its path, type, default and description, in order."""
    return fields_of(Recipe)


def machine_fields() -> Iterator[Field]:
    """Every field of the machine file, in order."""
    return fields_of(Machine)
