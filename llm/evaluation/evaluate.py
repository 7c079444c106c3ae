"""The recipe's section for the stage evaluate: which suites run, and the settings of each.

The sections of suites and baselines are fields of it because the registry names them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from llm.evaluation.registry import BASELINES, SUITES, baseline, suite
from llm.settings import section, setting

if TYPE_CHECKING:
    SuiteName: TypeAlias = str
    BaselineName: TypeAlias = str
else:
    SuiteName = Literal[tuple(SUITES)]
    BaselineName = Literal[tuple(BASELINES)]

BYTE_BASELINES = ("uniform", "bigram", "ngram5", "xz", "xz_primed")


def _suites_told() -> str:
    return "; ".join(f"{name}: {suite(name).says}" for name in SUITES) + "."


def _baselines_told() -> str:
    titles = "; ".join(f"{name}: {baseline(name).titles[name]}" for name in BASELINES)
    return (
        "Simple methods measured on the same validation text (bits per byte), in the report beside the "
        f"models. {titles}. Those over tokens learn from the model's own training tokens."
    )


@section
class Chosen:
    """What is measured of the models, and beside what. The report is always written."""

    suites: tuple[SuiteName, ...] = setting(
        default=(
            "perplexity",
            "infilling",
            "answers",
            "labels",
            "values",
            "translations",
            "preferences",
            "samples",
        ),
        description="What is measured, of the models that it can measure. " + _suites_told(),
    )
    baselines: tuple[BaselineName, ...] = setting(
        default=BYTE_BASELINES, description=_baselines_told()
    )

    def __post_init__(self) -> None:
        for name in ("suites", "baselines"):
            chosen = getattr(self, name)
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"evaluate.{name} names something twice: {', '.join(chosen)}")


def _sections() -> Mapping[str, tuple[type, str]]:
    """The section of each suite and baseline that has one, and what it is."""
    found = {
        name: (of[name], f"The baseline {name}.")
        for name in BASELINES
        if name in (of := baseline(name).settings)
    }
    return {**found, **{name: (suite(name).settings, f"The suite {name}.") for name in SUITES}}


def _with_sections() -> type:
    fields = _sections()
    defaults = {
        name: setting(default=kind, description=said) for name, (kind, said) in fields.items()
    }
    annotations = {name: kind for name, (kind, _) in fields.items()}
    body = {"__doc__": Chosen.__doc__, "__module__": __name__, "__annotations__": annotations}
    return section(type("EvaluateSettings", (Chosen,), {**body, **defaults}))


if TYPE_CHECKING:

    class EvaluateSettings(Chosen):
        """A section for each suite and baseline besides."""

        def __getattr__(self, name: str) -> Any: ...

else:
    EvaluateSettings = _with_sections()
