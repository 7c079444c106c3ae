"""An outside check: a model trained elsewhere must come out with the figures measured elsewhere."""

import math
from pathlib import Path

import pytest

from llm.evaluation.scoring import score
from llm.models import llama2c
from llm.models.generation import generate
from tests.llm.evaluation.stories import BEGIN, StoryTokenizer

pytestmark = pytest.mark.real_data


def test_stories260k_scores_five_stories_with_the_published_figures(shared_data: Path) -> None:
    model = llama2c.read(shared_data / "model/stories260K/stories260K.bin")
    tokenizer = StoryTokenizer(shared_data / "model/stories260K/tok512.bin")
    file = shared_data / "lm/tinystories_sample/tinystories_sample.txt"
    stories = [story.strip() for story in file.read_text("utf8").split("<|endoftext|>")]
    stories = [story for story in stories if story]
    nats = score(model, [tokenizer.encode(story) for story in stories], 512, 256)
    tokens, size = sum(map(len, nats)), sum(len(story.encode()) for story in stories)
    total = sum(float(each.sum()) for each in nats)
    assert (len(stories), tokens, size) == (5, 1804, 3717)
    assert total / tokens == pytest.approx(1.26644, abs=1e-4)
    assert total / math.log(2) / size == pytest.approx(0.88675, abs=1e-4)


def test_stories260k_writes_greedily_what_llama2c_prints(shared_data: Path) -> None:
    folder = shared_data / "model/stories260K"
    model = llama2c.read(folder / "stories260K.bin")
    tokenizer = StoryTokenizer(folder / "tok512.bin")
    ids = list(generate(model, [BEGIN], max_new_tokens=200, stop_ids=[BEGIN]))
    assert (
        tokenizer.decode(ids).strip() == (folder / "expected_greedy_200.txt").read_bytes().strip()
    )
