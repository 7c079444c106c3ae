"""The recipe's section on evaluation: what is measured of a model, and beside what.

The steps, each in a module of its own: perplexity and answers (of each model), baselines, samples,
report.
"""

from llm.evaluation.baselines import ALL_BASELINES, Baseline
from llm.evaluation.perplexity import PerplexitySettings
from llm.evaluation.samples import SampleSettings
from llm.settings import section, setting


@section
class EvaluateSettings:
    """What is measured, and beside what."""

    perplexity: PerplexitySettings = setting(
        PerplexitySettings, "How validation text is scored (bits per byte)."
    )
    baselines: tuple[Baseline, ...] = setting(
        ALL_BASELINES, "Simple methods measured on the same bytes."
    )
    samples: SampleSettings = setting(SampleSettings, "Text that the models write for the report.")
