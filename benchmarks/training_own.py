"""A recipe of our own choices for Shakespeare's characters, for `benchmarks/training.py`."""

from llm.models.config import ModelSettings
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.pretrain.settings import PretrainSettings
from llm.training.schedule import ScheduleSettings

CONTEXT = 64
ROWS = 32


def own_recipe(seed: int, parts: int) -> PretrainSettings:
    """The recipe; how long it trains is up to the clock."""
    tokens = ROWS * CONTEXT
    return PretrainSettings(
        model=ModelSettings(preset="qwen3", layers=4, d_model=192, heads=3, context_length=CONTEXT),
        tokens=tokens,
        batch_tokens=tokens,
        schedule=ScheduleSettings(
            type="wsd", peak_lr=1e-2, warmup_tokens=50 * tokens, decay_fraction=0.5
        ),
        optimizer=OptimizerSettings(type="muon", betas=(0.9, 0.99), weight_decay=0.1),
        data_parallel=parts,
        seed=seed,
    )
