"""Sections of a recipe: through JSON and back, and what of them decides."""

import dataclasses
import json
from typing import Any

import pytest

from llm.models.config import ModelSettings
from llm.settings import deciding, restored
from llm.training.baseline.settings import BudgetSettings
from llm.training.objectives.settings import ObjectiveSettings
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.plan import SpikeSettings
from llm.training.pretrain.continual_settings import ContinualSettings
from llm.training.pretrain.settings import PretrainSettings
from llm.training.schedule import ScheduleSettings


@pytest.mark.parametrize(
    "section",
    [
        PretrainSettings(),
        PretrainSettings(
            model=ModelSettings(preset="bert", context_length=128),
            objective=ObjectiveSettings(type="masked"),
            mix={"books": 2.0},
            schedule=ScheduleSettings(type="cosine"),
            optimizer=OptimizerSettings(type="muon", betas=(0.8, 0.9)),
            spikes=SpikeSettings(factor=3.0),
            keep_every=7,
        ),
        PretrainSettings(continual=ContinualSettings()),
        BudgetSettings(schedule=ScheduleSettings(type="linear", warmup_fraction=0.1)),
    ],
    ids=["usual", "changed", "nights", "baseline"],
)
def test_a_section_comes_back_from_json_as_it_was(section: Any) -> None:
    text = json.dumps(dataclasses.asdict(section))
    assert restored(type(section), json.loads(text)) == section


def test_what_decides_leaves_out_names_and_checkpoints() -> None:
    one = PretrainSettings(checkpoint_every=3, keep_last=9)
    found = deciding(one)
    assert "checkpoint_every" not in found and "preset" not in found["model"]
    assert found == deciding(PretrainSettings())
    assert found != deciding(dataclasses.replace(one, seed=2))
