"""The sections of a recipe, one a stage, and what becomes of finished work."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import pydantic

from llm.corpus.clean import CleanSettings
from llm.corpus.crawl import CrawlSettings
from llm.evaluation.evaluate import EvaluateSettings
from llm.evaluation.promote_settings import PromoteSettings
from llm.parts import registry
from llm.recipe.messages import Problems
from llm.recipe.rules import always
from llm.recipe.values import settings_of, tag_of
from llm.settings import section, setting
from llm.tokens.tokenize_settings import TokenizeSettings
from llm.tokens.tokenizer_settings import TokenizerSettings
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import task_of
from llm.training.pretrain.settings import PretrainSettings

TASKS: tuple[Any, ...] = tuple(task_of(name).settings for name in registry("task"))
USUAL_TASK = next(tag_of(one) for one in TASKS if settings_of(one)["task"].metadata.get("usual"))

if TYPE_CHECKING:
    FinetuneTask = FinetuneSettings
elif len(TASKS) == 1:
    FinetuneTask = TASKS[0]
else:
    FinetuneTask = Annotated[Union[TASKS], pydantic.Field(discriminator="task")]  # noqa: UP007

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
    finetune: tuple[FinetuneTask, ...] = ()
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

    @pydantic.field_validator("finetune", mode="before")
    @classmethod
    def _name_the_usual_task(cls, tasks: Any) -> Any:
        """A task that says no kind is of the usual one."""
        if not isinstance(tasks, list | tuple):
            return tasks
        return [{"task": USUAL_TASK, **one} if isinstance(one, dict) else one for one in tasks]

    @pydantic.model_validator(mode="after")
    def _goes_together(self) -> "Recipe":
        found = list(always(self))
        if found:
            raise Problems(found)
        return self


STAGES = tuple(name for name in Recipe.model_fields if name not in ("name", "snapshot", "policy"))
