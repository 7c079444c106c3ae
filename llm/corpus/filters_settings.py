"""Which filters judge documents, and by which thresholds."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from llm.corpus.language_codes import SEVERAL, check_code, members
from llm.corpus.presets.c4 import C4
from llm.corpus.presets.languages import BUILT_IN
from llm.corpus.presets.own_models import Models
from llm.corpus.presets.registry import PRESETS, Preset, Presets
from llm.settings import section, setting

# Thresholds of one language: preset → field → bound, null for none.
LanguageRules = dict[str, dict[str, float | None]]


@section
class FilterSettings(Presets):
    """Which documents are kept."""

    presets: tuple[Preset, ...] = setting(
        default=("gopher_quality", "gopher_repetition"),
        description="Rule sets in use, in the order they are asked.",
    )
    models: Models = setting(default=Models, description="Bounds on the signals of own models.")
    per_language: dict[str, LanguageRules] = setting(
        default=dict,
        description="Other thresholds for a language: {de: {gopher_quality: {min_words: 30}}}; "
        "null for none.",
    )
    languages: tuple[str, ...] = setting(
        default=(),
        description="Languages to keep (ISO 639-1 codes such as en; no: nb and nn, sh: bs, hr and sr; "
        "und: texts without a language); empty: all of them.",
    )
    min_language_score: float = setting(
        default=0.65,
        description="Surest-language score needed where languages are named (0 to 1).",
        ge=0,
        le=1,
    )
    min_language_scores: dict[str, float] = setting(
        default=dict,
        description="Score needed of a language in place of that one, whether languages are named or "
        "not (0 to 1): {de: 0.8}.",
    )

    def __post_init__(self) -> None:
        if len(set(self.presets)) < len(self.presets):
            raise ValueError(f"a preset is named twice in {list(self.presets)}: name it once")
        for preset in PRESETS:
            bounds = _bounds(getattr(self, preset))
            for field, low in bounds.items():
                signal = field.removeprefix("min_")
                high = bounds.get(f"max_{signal}")
                if low is not None and high is not None and low > high:
                    raise ValueError(
                        f"{preset}.min_{signal} is {low}, above max_{signal} {high}: no document "
                        "can pass; lower the first or raise the second"
                    )
        for field in ("languages", "min_language_scores", "per_language"):
            for language in getattr(self, field):
                check_code(language, field)
                if field != "languages" and language in SEVERAL:
                    raise ValueError(
                        f"{field} names {language}, which stands for {' and '.join(SEVERAL[language])}: "
                        "name each of them"
                    )
        for language in self.c4.any_end_languages:
            check_code(language, "c4.any_end_languages")
        for language, score in self.min_language_scores.items():
            if not 0 <= score <= 1:
                raise ValueError(
                    f"min_language_scores.{language} is {score}: a score lies between 0 and 1"
                )
            if self.languages and language not in members(self.languages):
                raise ValueError(
                    f"min_language_scores names {language}, which languages leaves out: add it "
                    "there, or take its score away"
                )
        for language, presets in self.per_language.items():
            for preset, bounds in presets.items():
                known = _bounds(getattr(self, preset, None))
                unknown = sorted(set(bounds) - set(known))
                if not known or unknown:
                    raise ValueError(
                        f"per_language.{language}.{preset} has no {', '.join(unknown) or 'rules'}: "
                        f"choose from {', '.join(known or SETS)}"
                    )


# Fields of FilterSettings that hold rules.
SETS = (*PRESETS, "models")


@dataclasses.dataclass(frozen=True)
class Rule:
    """One bound: a document fails when its signal is below `low` or above `high`.

    languages: bounds of some languages in place of these, as (low, high); signals: signals of some
    languages in place of that one.
    """

    name: str
    signal: str
    low: float = -math.inf
    high: float = math.inf
    languages: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    signals: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def signal_in(self, language: str) -> str:
        """The signal that is asked of a document in this language."""
        return self.signals.get(language, self.signal)


def rules(settings: FilterSettings) -> list[Rule]:
    """The rules that are switched on, for any language, in the order they are asked."""
    found = []
    for preset in dict.fromkeys((*settings.presets, "models")):
        thresholds = getattr(settings, preset)
        for field, bound in _bounds(thresholds).items():
            side, _, signal = field.partition("_")
            signals = {}
            if isinstance(thresholds, C4):
                signals = dict.fromkeys(members(thresholds.any_end_languages), f"{signal}_any_end")
                signal += "" if thresholds.terminal_punctuation else "_any_end"
            others = _others(settings, preset, field)
            if any(value is not None for value in (bound, *others.values())):
                low, high = _interval(side, bound)
                languages = {code: _interval(side, value) for code, value in others.items()}
                found.append(Rule(f"{preset}.{field}", signal, low, high, languages, signals))
    return found


def _bounds(thresholds: Any) -> dict[str, float | None]:
    """The rules of a preset: field → bound."""
    if not dataclasses.is_dataclass(thresholds):
        return {}
    names = (field.name for field in dataclasses.fields(thresholds))
    return {name: getattr(thresholds, name) for name in names if name[:4] in ("min_", "max_")}


def _others(settings: FilterSettings, preset: str, field: str) -> dict[str, float | None]:
    """Bounds of a rule for some languages: those built in, unless the preset's bound was changed."""
    found: dict[str, float | None] = {}
    standard = getattr(type(getattr(settings, preset))(), field)
    if getattr(getattr(settings, preset), field) == standard:
        found = {code: bounds[field] for code, bounds in BUILT_IN.items() if field in bounds}
    for language, presets in settings.per_language.items():
        if field in presets.get(preset, {}):
            found[language] = presets[preset][field]
    return found


def _interval(side: str, bound: float | None) -> tuple[float, float]:
    if bound is None:
        return -math.inf, math.inf
    return (float(bound), math.inf) if side == "min" else (-math.inf, float(bound))
