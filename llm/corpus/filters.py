"""Rules that keep or drop a document by its signals. No text is read here.

A rule is a field of a preset named `min_` or `max_` and a signal: the field's value is the bound,
and none switches the rule off.
"""

from collections.abc import Mapping

import numpy as np

from llm.corpus.filters_settings import FilterSettings, rules
from llm.corpus.language_codes import members


def failures(
    settings: FilterSettings,
    signals: Mapping[str, np.ndarray],
    languages: np.ndarray,
    scores: np.ndarray,
) -> tuple[list[str], np.ndarray]:
    """Which document fails which rule: (names of R rules, (D, R) bool).

    signals: arrays (D,) by name, NaN where a figure is not known, which fails no rule; languages:
    codes (D,); scores: their scores (D,).
    """
    names, columns = [], []
    codes = languages.astype(str)
    if settings.languages or settings.min_language_scores:
        names.append("language")
        columns.append(_of_other_languages(settings, codes, scores))
    for rule in rules(settings):
        values = signals[rule.signal]
        for language in rule.signals:
            values = np.where(codes == language, signals[rule.signal_in(language)], values)
        low, high = np.full(len(values), rule.low), np.full(len(values), rule.high)
        for language, bounds in rule.languages.items():
            low[codes == language], high[codes == language] = bounds
        names.append(rule.name)
        columns.append((values < low) | (values > high))
    if not columns:
        return [], np.zeros((len(scores), 0), bool)
    return names, np.stack(columns, axis=1)


def _of_other_languages(
    settings: FilterSettings, codes: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Which document is in no language that is kept, or not surely enough (D,) bool."""
    least = settings.min_language_score if settings.languages else -np.inf
    needed = np.full_like(scores, least)  # of their type: a bound is met by the figure it is
    for language, score in settings.min_language_scores.items():
        needed[codes == language] = score
    unwanted = scores < needed
    if settings.languages:
        unwanted |= ~np.isin(codes, members(settings.languages))
    return unwanted
