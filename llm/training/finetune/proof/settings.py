"""What the prove step is told."""

from typing import Any

from llm.settings import section, setting
from llm.training.finetune.settings import ProofSettings

PROVED = "proved"
"""The part of the artifact that training depends on: it says nothing but that all is well."""


@section
class Proving:
    """What is proved, and how thoroughly."""

    task: Any = setting(description="The task's section, but for what does not shape its rows.")
    proof: ProofSettings = setting(default=ProofSettings, description="How much is looked at.")
