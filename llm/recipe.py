"""What to run: one section a stage, YAML in, validated values out.

A recipe may extend another (`extends: demo.yaml`, beside it), and single values are overridden
from the command line (`pretrain.tokens=6_000_000`). YAML is 1.2: `2e-3` is a number, `no` a word.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from llm.corpus.clean import CleanSettings
from llm.corpus.crawl import CrawlSettings
from llm.evaluation.evaluate import EvaluateSettings
from llm.evaluation.promotion_settings import PromoteSettings
from llm.recipe_fields import Field, explain, fields_of
from llm.settings import section, setting
from llm.step import BadInput, Machine
from llm.tokens.encode_settings import TokenizeSettings
from llm.tokens.train_settings import TokenizerSettings
from llm.training.finetune_settings import FinetuneSettings
from llm.training.pretrain_settings import PretrainSettings

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
Name = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class RecipeError(BadInput):
    """The recipe is wrong; the message names each field, its value and what is allowed."""


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

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: Name = pydantic.Field(
        description="Name of the recipe: lowercase letters, digits, dashes."
    )
    snapshot: str | None = pydantic.Field(
        None,
        description="Which crawl to work on; none: the day of the run (the scheduled one), so that "
        "every night crawls anew.",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$",
    )
    crawl: CrawlSettings
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
        return {**crawl, "sources": kept}

    @pydantic.model_validator(mode="after")
    def _names_are_unique(self) -> "Recipe":
        names = [task.name for task in self.finetune]
        if len(set(names)) != len(names):
            raise ValueError(f"finetune: each task needs a name of its own, not {names}")
        return self

    @pydantic.model_validator(mode="after")
    def _nights_to_go_on_from(self) -> "Recipe":
        if self.pretrain.continual is not None and self.crawl.nights == "alone":
            raise ValueError(
                "pretrain.continual goes on from the nights before: crawl.nights must be accumulate"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _mixed_sources_are_crawled(self) -> "Recipe":
        unknown = sorted(set(self.pretrain.mix) - set(self.crawl.sources))
        if unknown:
            known = ", ".join(sorted(self.crawl.sources))
            raise ValueError(
                f"pretrain.mix: there is no source {unknown[0]!r} in crawl.sources; there are: {known}"
            )
        return self


STAGES = tuple(name for name in Recipe.model_fields if name not in ("name", "snapshot", "policy"))


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, or the name of one in recipes/.

    Raises RecipeError telling which names there are.
    """
    for path in (Path(name), RECIPES / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in RECIPES.glob("*.yaml")))
    raise RecipeError(f"no recipe {name!r}: give the path of a YAML file, or one of {known}")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read, extend, override and validate a recipe. Raises RecipeError."""
    values = _read(find_recipe(name), ())
    for override in overrides:
        _override(values, override)
    return _validate(values, name)


def _validate(values: dict[str, Any], name: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        lines = [explain(Recipe, item) for item in error.errors()]
        raise RecipeError(f"the recipe {name} is wrong:\n  " + "\n  ".join(lines)) from None


def load_machine(path: Path, overrides: Sequence[str] = ()) -> Machine:
    """Read how to use this machine; a missing file means the defaults. Raises RecipeError."""
    values = _parse(path) if path.is_file() else {}
    for override in overrides:
        _override(values, override)
    try:
        return pydantic.TypeAdapter(Machine).validate_python(values)
    except pydantic.ValidationError as error:
        lines = [explain(Recipe, item) for item in error.errors()]
        raise RecipeError(f"the machine file {path} is wrong:\n  " + "\n  ".join(lines)) from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        values = _yaml().load(path.read_text("utf8"))
    except YAMLError as error:
        raise RecipeError(f"{path} is no valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must hold a mapping of sections, not {type(values).__name__}")
    return values


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise RecipeError(f"{path} extends itself")
    values = _parse(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    beside = path.parent / str(base)
    if not beside.is_file():
        raise RecipeError(f"{path} extends {base}, which is not beside it")
    return _merge(_read(beside, (*seen, path.resolve())), values)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _override(values: dict[str, Any], override: str) -> None:
    """Apply `section.field=value`; a list's items are named by number (`finetune.0.epochs=2`)."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"--set {override!r}: write section.field=value")
    try:
        value = _yaml().load(text) if text else None
    except YAMLError as error:
        raise RecipeError(f"--set {override!r}: the value is no valid YAML: {error}") from None
    *parents, last = path.split(".")
    place: Any = values
    for name in parents:
        if isinstance(place, list):
            place = _item(place, name, override)
        elif isinstance(place, dict):
            if place.get(name) is None:
                place[name] = {}
            place = place[name]
        else:
            raise RecipeError(f"--set {override!r}: {name!r} lies below a single value")
    if isinstance(place, list):
        _item(place, last, override)
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f"--set {override!r}: {path.rpartition('.')[0]!r} is a single value")


def _item(place: list[Any], name: str, override: str) -> Any:
    if not name.isdigit() or int(name) >= len(place):
        raise RecipeError(f"--set {override!r}: {name!r} is not one of 0 to {len(place) - 1}")
    return place[int(name)]


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    return yaml


def fields() -> Iterator[Field]:
    """Every field of the recipe with its path, type, default and description, in order."""
    return fields_of(Recipe)
