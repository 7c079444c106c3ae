"""Preferences: the loss and its gradients are DPO's on what transformers says, and the better answer wins."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from llm.examples.settings import PREFERENCES
from llm.examples.shards import Example, ShardWriter
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.step import BadInput, Inputs, StepResult
from llm.tokens.chat import encode_messages
from llm.tokens.special import reserved
from llm.training.finetune.prefer import Prefer, PreferSchedule, PreferSettings
from llm.training.finetune.prepare import prepare, setup_of
from llm.training.finetune.reference import refer
from llm.training.finetune.settings import LoraSettings
from llm.training.finetune.step import finetune
from tests.llm.training.finetune.talks import CONTEXT, WORDS, byte_tokenizer
from tests.llm.training.finetune.test_step import at

POLITE = ("Gladly: {}.", "Of course: {}!", "Yes, {} it.")
RUDE = ("No.", "Why me? {}!", "Ask {} elsewhere.")


def pair(number: int) -> tuple[list[dict[str, str]], ...]:
    word = WORDS[number % len(WORDS)]
    answers = (POLITE[number % 3].format(word), RUDE[number // 3 % 3].format(word))
    asked = [{"role": "user", "content": f"{word} {number}?"}]
    return asked, *([{"role": "assistant", "content": answer}] for answer in answers)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A small model of bytes, random weights and all, and questions with a polite and a rude answer."""
    root = tmp_path_factory.mktemp("made")
    tokenizer = byte_tokenizer(reserved(("chat",)))
    shape: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 2, "context_length": CONTEXT}
    settings = ModelSettings(**shape, initialisation="normal")
    model = build(settings.resolve(tokenizer.get_vocab_size()), torch.float32)
    model.initialise(seed=0)
    tokenizer.save(str(root / "tokenizer.json"))
    folder.save(model, root / "base" / "model", root / "tokenizer.json")
    (root / "data").mkdir()
    for split, numbers in (("train", range(60)), ("validation", range(60, 75))):
        with ShardWriter(root / "data" / f"{split}.arrow", PREFERENCES, split) as shard:
            for number in numbers:
                shard.add(Example(pair(number), "", "pairs.jsonl", number + 1))
    return {"model": [root / "base"], "data": [root / "data"]}


def settings(**changes: Any) -> PreferSettings:
    values: dict[str, Any] = {
        "task": "prefer",
        "name": "polite",
        "data": "x",
        "epochs": 8,
        "batch_tokens": 4 * CONTEXT,
        "schedule": PreferSchedule(peak_lr=0.003),
        "precision": "fp32",
    }
    return PreferSettings(**{**values, **changes})


def referred(made: Inputs, root: Path) -> Inputs:
    rows, reference = at(root / "rows"), at(root / "reference")
    prepare(settings(), made, rows)
    inputs: Inputs = {"model": made["model"], "rows": [rows.out]}
    refer(settings(), inputs, reference)
    return {**inputs, "reference": [reference.out]}


@pytest.fixture(scope="module")
def inputs(made: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return referred(made, tmp_path_factory.mktemp("inputs"))


def theirs(model: Any, number: int) -> list[torch.Tensor]:
    """ln p of the polite and the rude answer, each conversation by itself, as transformers has it."""
    tokenizer = byte_tokenizer(reserved(("chat",)))
    asked, *sides = pair(number)
    found = []
    for side in sides:
        ids, learn = encode_messages(tokenizer, [*asked, *side])
        logits = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        each = logits[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
        found.append(each[torch.tensor(learn[1:])].sum())
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_the_formula(smoothing: float, inputs: Inputs) -> None:
    base = inputs["model"][0] / "model"
    reference_model = AutoModelForCausalLM.from_pretrained(base).eval()
    moved = AutoModelForCausalLM.from_pretrained(base).eval()
    ours = folder.load_model(base)
    torch.manual_seed(1)
    noise = torch.randn_like(ours.embedding) * 0.05
    with torch.no_grad():
        ours.embedding.add_(noise)
        moved.get_input_embeddings().weight.add_(noise)

    values = settings(beta=0.3, label_smoothing=smoothing)
    setup = setup_of(values, base, inputs["rows"][0], inputs["reference"][0])
    rows = Prefer().rows(setup, inputs["rows"][0] / "train")
    batch = rows.read(np.arange(len(rows)))
    pairs = np.concatenate([rows.pairs_of(row) for row in range(len(rows))])
    assert sorted(pairs.tolist()) == list(range(60)) and batch.learned.sum() == 60
    loss = Prefer().objective(setup).loss(ours, batch.tensors(slice(None), torch.device("cpu")))
    loss.backward()

    wanted = torch.zeros(())
    for number in range(60):
        with torch.no_grad():
            before = theirs(reference_model, number)
        now = theirs(moved, number)
        margin = 0.3 * ((now[0] - before[0]) - (now[1] - before[1]))
        wanted = wanted - (1 - smoothing) * F.logsigmoid(margin) - smoothing * F.logsigmoid(-margin)
    wanted.backward()
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)
    gradient = moved.get_input_embeddings().weight.grad
    torch.testing.assert_close(ours.embedding.grad, gradient, rtol=1e-3, atol=1e-5)


def tune(values: PreferSettings, inputs: Inputs, root: Path, processes: int = 1) -> StepResult:
    return finetune(values, inputs, at(root, processes))


def test_the_better_answers_win_and_the_bits_do_not_depend_on_processes(
    inputs: Inputs, tmp_path: Path
) -> None:
    alone = tune(settings(), inputs, tmp_path / "one")
    together = tune(settings(), inputs, tmp_path / "two", processes=2)
    assert alone == together
    files = [tmp_path / name / "out/model/model.safetensors" for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    counts = alone.counts
    assert counts["validation_accuracy"] == {"before": 0.0, "after": pytest.approx(1.0, abs=0.1)}
    assert counts["validation_margin"]["before"] == pytest.approx(0, abs=1e-4)
    assert counts["validation_loss"]["before"] == pytest.approx(np.log(2), abs=1e-4)
    assert counts["validation_loss"]["after"] < 0.4


def test_an_adapter_learns_preferences_too(inputs: Inputs, tmp_path: Path) -> None:
    values = settings(
        adapt=LoraSettings(type="lora", rank=4), schedule=PreferSchedule(peak_lr=0.02)
    )
    counts = tune(values, inputs, tmp_path).counts
    assert counts["validation_accuracy"]["after"] > 0.8
    assert counts["trained_parameters"] < counts["parameters"] / 2


def test_a_pair_with_an_answer_beyond_the_context_is_left_out_whole(
    made: Inputs, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    asked, chosen, rejected = pair(1)
    long = [{"role": "assistant", "content": "x" * 100}]
    for split, rows in {
        "train": [(asked, chosen, rejected), (asked, chosen, long)],
        "validation": [],
    }.items():
        with ShardWriter(tmp_path / "data" / f"{split}.arrow", PREFERENCES, split) as shard:
            for line, cells in enumerate(rows, start=1):
                shard.add(Example(cells, "", "pairs.jsonl", line))
    given = {**made, "data": [tmp_path / "data"]}
    counts = prepare(settings(), given, at(tmp_path / "rows")).counts
    assert (counts["train"]["examples"], counts["train"]["too_long"]) == (1, 1)
    with ShardWriter(tmp_path / "data" / "train.arrow", PREFERENCES, "train") as shard:
        shard.add(Example((asked, chosen, long), "", "pairs.jsonl", 1))
    with pytest.raises(BadInput, match=r"no pair in .* fits the model's context of 64 tokens"):
        prepare(settings(), given, at(tmp_path / "again"))
