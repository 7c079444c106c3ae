"""Preferences of held-out pairs: the likelier answer by transformers' reading is the one that counts."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from llm.evaluation.result import read
from llm.evaluation.suite import Measure
from llm.evaluation.suites.preferences import PreferenceSettings, measure
from llm.examples.settings import PREFERENCES
from llm.examples.shards import Example, ShardWriter
from llm.models.folder import tokenizer_of
from llm.step import Context
from llm.tokens.chat import encode_messages
from tests.llm.evaluation.models import write_model

ANSWERS = ("the thing.", "a", "é and the", "none", "in a")


def pairs() -> list[tuple[list[dict[str, str]], ...]]:
    found = []
    for number, chosen in enumerate(ANSWERS):
        asked = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"Which one, {number}?"},
        ]
        sides = (chosen, ANSWERS[number - 1])
        found.append((asked, *([{"role": "assistant", "content": side}] for side in sides)))
    return found


def test_accuracy_is_that_of_each_answer_scored_by_itself(tmp_path: Path, context: Context) -> None:
    model = write_model(tmp_path / "model")
    folder = tmp_path / "model" / "model"
    (tmp_path / "polite").mkdir()
    with ShardWriter(tmp_path / "polite" / "validation.arrow", PREFERENCES, "validation") as shard:
        for line, cells in enumerate(pairs(), start=1):
            shard.add(Example(cells, "", "pairs.jsonl", line))
    values = Measure(settings=PreferenceSettings(), validation_fraction=0.1, tasks=("polite",))
    measure(values, {"model": [tmp_path / "model"], "data": [tmp_path / "polite"]}, context)

    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = tokenizer_of(folder, model.config)
    nats, tokens = np.zeros((len(ANSWERS), 2)), np.zeros((len(ANSWERS), 2))
    for number, (asked, *sides) in enumerate(pairs()):
        for side, answer in enumerate(sides):
            ids, learn = encode_messages(tokenizer, [*asked, *answer])
            with torch.no_grad():
                said = theirs(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            each = -said[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()
            nats[number, side] = each[np.array(learn[1:])].sum()
            tokens[number, side] = sum(learn[1:])
    result = read(context.out)
    assert result.figures["accuracy"].value == (nats[:, 0] < nats[:, 1]).mean()
    means = nats / tokens
    assert result.figures["accuracy_by_token"].value == (means[:, 0] < means[:, 1]).mean()
    chosen = result.figures["chosen_nats_per_token"]
    np.testing.assert_allclose(chosen.value, nats[:, 0].sum() / tokens[:, 0].sum(), rtol=1e-5)
    assert result.figures["accuracy"].groups["polite"].items == len(ANSWERS)
