"""Labels and values of texts: learned on every architecture, kept by name, said alike by `transformers`."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from llm.examples.settings import Column
from llm.examples.shards import Example, ShardWriter
from llm.machine import Machine
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.step import BadInput, Context, Inputs, Reporter, StepResult
from llm.tokens.marked import Marks, encode_marked
from llm.tokens.special import reserved
from llm.training.finetune.classify import Classify, ClassifySettings
from llm.training.finetune.of_texts import TextOptimizer, TextSchedule
from llm.training.finetune.predicting import outputs_of
from llm.training.finetune.prepare import prepare, setup_of
from llm.training.finetune.regress import Regress, RegressSettings
from llm.training.finetune.settings import EarlyStopping
from llm.training.finetune.step import finetune
from tests.llm.training.finetune.talks import byte_tokenizer

SIZES: dict[str, Any] = {"layers": 1, "d_model": 32, "heads": 2, "hidden": 64, "context_length": 64}
SHAPES: dict[str, dict[str, Any]] = {
    "bert": {"preset": "bert"},
    "qwen3": {"preset": "qwen3"},
    "gpt2": {"preset": "gpt2"},
    "own encoder": {"preset": "qwen3", "architecture": "encoder"},
    "encoder_decoder": {"preset": "qwen3", "architecture": "encoder_decoder"},
    "bart": {"preset": "bart"},
}
WORDS = {"fruit": ("apple", "plum", "pear", "fig"), "tool": ("saw", "axe", "drill", "file")}
TEXT = Column(name="text", type="text")
SECOND = Column(name="second", type="text", optional=True)


def base_of(root: Path, **shape: Any) -> Path:
    """A small untrained model of bytes."""
    tokenizer = byte_tokenizer(reserved(("chat", "masking")))
    settings = ModelSettings(**{**SIZES, **shape})
    model = build(settings.resolve(tokenizer.get_vocab_size()), torch.float32)
    model.initialise(seed=0)
    root.mkdir(parents=True)
    tokenizer.save(str(root / "tokenizer.json"))
    folder.save(model, root / "base" / "model", root / "tokenizer.json")
    return root / "base"


def write_shards(root: Path, said: Column, splits: dict[str, Sequence[tuple[Any, ...]]]) -> Path:
    root.mkdir(parents=True)
    for split, rows in splits.items():
        with ShardWriter(root / f"{split}.arrow", (TEXT, SECOND, said), split) as shard:
            for line, cells in enumerate(rows, start=1):
                shard.add(Example(cells, "", f"{split}.csv", line))
    return root


def texts(count: int, seed: int) -> list[tuple[str, str, list[str]]]:
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        label = ("fruit", "tool")[number % 2]
        words = random.choice(WORDS[label], random.integers(1, 4)).tolist()
        found.append((f"a {' '.join(words)}", "", [label]))
    return found


def settings(**changes: Any) -> ClassifySettings:
    values: dict[str, Any] = {
        "task": "classify",
        "name": "kind",
        "data": "x",
        "epochs": 20,
        "batch_tokens": 512,
        "schedule": TextSchedule(peak_lr=0.004),
        "optimizer": TextOptimizer(type="adamw", weight_decay=0.01),  # for so few steps
        "dropout": 0.1,
        "precision": "fp32",
    }
    return ClassifySettings(**{**values, **changes})


def context_of(root: Path, report: Reporter | None = None, processes: int = 1) -> Context:
    for name in ("out", "work"):
        (root / name).mkdir(parents=True, exist_ok=True)
    machine = Machine(processes=processes, device="cpu")
    return Context(
        out=root / "out", work=root / "work", report=report or Reporter(), machine=machine
    )


def rows_of(
    values: Any, base: Path, data: Path, root: Path, report: Reporter | None = None
) -> Inputs:
    context = context_of(root, report)
    prepare(values, {"model": [base], "data": [data]}, context)
    return {"model": [base], "rows": [context.out]}


def run(
    values: Any, base: Path, data: Path, root: Path, processes: int = 1
) -> tuple[StepResult, Path]:
    inputs = rows_of(values, base, data, root / "rows")
    context = context_of(root / "tuned", processes=processes)
    return finetune(values, inputs, context), context.out / "model"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": texts(120, 1), "validation": texts(60, 2), "test": texts(30, 3)}
    return write_shards(tmp_path_factory.mktemp("data") / "shards", Classify.said, splits)


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_are_learned_and_said_by_transformers_too(
    shape: str, data: Path, tmp_path: Path
) -> None:
    result, model = run(settings(), base_of(tmp_path / "base", **SHAPES[shape]), data, tmp_path)
    counts = result.counts
    assert counts["validation_accuracy"]["after"] > 0.95 > counts["validation_accuracy"]["before"]
    assert counts["test_accuracy"]["after"] > 0.9
    config = json.loads((model / "config.json").read_text())
    assert config["id2label"] == {"0": "fruit", "1": "tool"}
    if config["model_type"] == "penstock":
        return  # no class of transformers tells texts so
    theirs = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    said = ["a pear plum", "a saw", "an axe <|sep|> drill"]
    pairs = [("a pear", "plum or fig"), ("the axe", "a")]
    ours = folder.load_model(model).eval()
    for asked in (said[:2], pairs):
        batch = tokenizer(
            [one if isinstance(one, str) else one[0] for one in asked],
            None if isinstance(asked[0], str) else [one[1] for one in asked],
            padding=True,
            return_tensors="pt",
        )
        assert ("token_type_ids" in batch) == (ours.config.token_types > 1)
        types = {"types": batch["token_type_ids"]} if "token_type_ids" in batch else {}
        with torch.no_grad():
            found = ours.outputs(batch["input_ids"], batch["attention_mask"], **types)
            torch.testing.assert_close(found, theirs(**batch).logits, rtol=1e-4, atol=1e-4)
        plain = folder.tokenizer_of(model, ours.config)
        told = outputs_of(
            ours, plain, [one if isinstance(one, tuple) else (one, "") for one in asked]
        )
        torch.testing.assert_close(torch.from_numpy(told), found, rtol=1e-4, atol=1e-4)
    plain = folder.tokenizer_of(model, ours.config)
    marks = Marks.of(plain, ours.config.architecture)
    for first, second in (*((one, "") for one in said[:2]), *pairs):
        [marked] = encode_marked(plain, marks, [(first, second)], 64)
        assert marked.ids == tokenizer(first, second or None)["input_ids"]


def test_killed_or_not_and_with_one_process_or_two_the_bits_are_the_same(
    data: Path, tmp_path: Path
) -> None:
    values = settings(epochs=3, early_stopping=EarlyStopping(every=0.5))
    base = base_of(tmp_path / "base", preset="bert", dropout=0.1)
    alone, model = run(values, base, data, tmp_path / "one")
    together, other = run(values, base, data, tmp_path / "two", processes=2)
    assert alone == together
    assert (model / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_training_ends_where_nothing_gets_better_and_keeps_the_best(
    data: Path, tmp_path: Path
) -> None:
    values = settings(epochs=40, early_stopping=EarlyStopping(patience=2))
    result, _ = run(values, base_of(tmp_path / "base", preset="bert"), data, tmp_path)
    whole = run(settings(epochs=40), tmp_path / "base" / "base", data, tmp_path / "whole")[0]
    assert result.counts["steps"] < whole.counts["steps"]
    note = json.loads((tmp_path / "tuned" / "work" / "best.json").read_text())
    assert note["end"] == result.counts["steps"] > note["step"]
    assert note["score"][0] == pytest.approx(
        result.counts["validation_accuracy"]["after"], abs=1e-4
    )


def test_tokens_are_hidden_in_training_alone_and_never_the_marks(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", preset="bert")
    data = write_shards(tmp_path / "data", Classify.said, {"train": texts(40, 1)})
    values = settings(hidden_tokens=0.25, dropout=0.0, label_smoothing=0.0)
    made = rows_of(values, base, data, tmp_path)
    setup = setup_of(values, base / "model", made["rows"][0])
    objective = Classify().objective(setup)
    plain = Classify().objective(replace(setup, values=replace(values, hidden_tokens=0.0)))
    rows = Classify().rows(setup, made["rows"][0] / "train")
    batch = rows.read(np.arange(len(rows))).tensors(slice(None), torch.device("cpu"))
    hidden = objective.hiding.of(batch["tokens"])
    changed = hidden != batch["tokens"]
    marks = torch.isin(batch["tokens"], torch.tensor(objective.hiding.kept))
    assert not (changed & marks).any()
    share = changed.sum() / (~marks).sum()
    assert abs(float(share) - 0.25) < 4 * (0.25 * 0.75 / float((~marks).sum())) ** 0.5
    assert set(hidden[changed].tolist()) == {objective.hiding.token}
    model = Classify().model(setup, torch.device("cpu"), torch.float32).eval()
    with torch.no_grad():
        assert torch.equal(objective.loss(model, batch), plain.loss(model, batch))
    model.train()
    assert not torch.equal(objective.loss(model, batch), plain.loss(model, batch))


def test_several_labels_of_a_text_are_learned(tmp_path: Path) -> None:
    def rows(count: int, seed: int) -> list[tuple[str, str, list[str]]]:
        random = np.random.default_rng(seed)
        found = []
        for _ in range(count):
            there = [name for name in WORDS if random.random() < 0.5]
            words = [str(random.choice(WORDS[name])) for name in there]
            found.append((" ".join(["a", *words]), "", there))
        return found

    splits = {"train": rows(300, 1), "validation": rows(80, 2)}
    data = write_shards(tmp_path / "data", Classify.said, splits)
    result, model = run(
        settings(epochs=20), base_of(tmp_path / "base", preset="bert"), data, tmp_path
    )
    assert result.counts["validation_accuracy"]["after"] > 0.6  # by chance: 0.25
    config = json.loads((model / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert list(config["id2label"].values()) == ["fruit", "tool"]


@pytest.mark.parametrize(("shape", "least"), [("bert", 100.0), ("qwen3", 0.0)])
def test_values_are_learned_in_their_own_units_of_pairs_too(
    shape: str, least: float, tmp_path: Path
) -> None:
    def rows(count: int, seed: int) -> list[tuple[str, str, list[float]]]:
        random = np.random.default_rng(seed)
        chosen = random.integers(0, 2, (count, 2)).tolist()
        return [
            (("ab", "cd")[first], ("ab", "cd")[second], [least + 4 * first + 2 * second])
            for first, second in chosen
        ]

    splits = {"train": rows(200, 1), "validation": rows(50, 2)}
    data = write_shards(tmp_path / "data", Regress.said, splits)
    values = RegressSettings(
        task="regress",
        name="alike",
        data="x",
        epochs=40,
        batch_tokens=512,
        schedule=TextSchedule(peak_lr=0.004),
        dropout=0.0,
        precision="fp32",
    )
    result, model = run(values, base_of(tmp_path / "base", **SHAPES[shape]), data, tmp_path)
    assert result.counts["validation_pearson"]["after"] > 0.98
    theirs = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    with torch.no_grad():
        found = theirs(**tokenizer("cd", "ab", return_tensors="pt")).logits
    assert found.item() == pytest.approx(least + 4, abs=0.7)


class Heard(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, message: str) -> None:
        self.said.append(message)


def test_labels_that_training_never_had_are_told_and_count_as_wrong(
    data: Path, tmp_path: Path
) -> None:
    splits = {"train": texts(40, 1), "validation": [*texts(18, 2), ("a boat", "", ["ship"])] * 3}
    other = write_shards(tmp_path / "data", Classify.said, splits)
    heard = Heard()
    base = base_of(tmp_path / "base", preset="bert")
    rows_of(settings(), base, other, tmp_path / "rows", heard)
    assert (
        "3 examples for validation with labels that no training example has: 'ship' (3)"
        in heard.said[0]
    )


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        (texts(20, 1)[::2], {}, "only the label 'fruit': a classifier needs two"),
        ([*texts(3, 1), ("a", "", ["x", "y"])], {"labels": "one"}, "line 4 has 2 labels"),
        (texts(4, 1), {"class_weights": {"boat": 2.0}}, "names 'boat', and no training example"),
    ],
)
def test_what_cannot_be_learned_is_told_before_training(
    rows: Any, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    data = write_shards(tmp_path / "data", Classify.said, {"train": rows, "validation": []})
    with pytest.raises(BadInput, match=said):
        rows_of(
            settings(**changes), base_of(tmp_path / "base", preset="bert"), data, tmp_path / "r"
        )


def test_values_that_do_not_fit_are_told(tmp_path: Path) -> None:
    values = RegressSettings(task="regress", name="alike", data="x")
    base = base_of(tmp_path / "base", preset="bert")
    for number, (cells, said) in enumerate(
        (([[1.0], [1.0, 2.0]], "line 2 has 2 values"), ([[1.0], [1.0]], "the same value 1"))
    ):
        rows = [("a", "", cell) for cell in cells]
        splits = {"train": rows, "validation": []}
        data = write_shards(tmp_path / f"data{number}", Regress.said, splits)
        with pytest.raises(BadInput, match=said):
            rows_of(values, base, data, tmp_path / f"r{number}")


def test_texts_that_are_too_long_are_cut_and_told_and_counts_add_up(tmp_path: Path) -> None:
    rows = [*texts(10, 1), ("b" * 200, "", ["tool"]), ("c" * 100, "d" * 5, ["tool"])]
    data = write_shards(tmp_path / "data", Classify.said, {"train": rows, "validation": []})
    heard = Heard()
    base = base_of(tmp_path / "base", preset="bert")
    inputs = rows_of(settings(), base, data, tmp_path / "rows", heard)
    assert "2 examples for train longer than 64 tokens: cut at the end" in heard.said[0]
    lengths = np.diff(np.load(inputs["rows"][0] / "train" / "offsets.npy"))
    assert lengths.tolist() == [*(len(text) + 2 for text, _, _ in rows[:10]), 64, 64]
    second = np.load(inputs["rows"][0] / "train" / "second.npy")
    assert 64 - second[-1] == 6, "the longer text of a pair is cut"


def test_class_weights_weigh_texts(tmp_path: Path) -> None:
    rows = [*texts(12, 1), *texts(12, 2)[::2]]  # 12 of fruit, 6 of tool
    data = write_shards(tmp_path / "data", Classify.said, {"train": rows, "validation": []})
    base = base_of(tmp_path / "base", preset="bert")
    for number, (weights, expected) in enumerate(
        ((None, {1.0}), ("balanced", {0.75, 1.5}), ({"tool": 3.0}, {1.0, 3.0}))
    ):
        inputs = rows_of(settings(class_weights=weights), base, data, tmp_path / f"rows{number}")
        found = np.load(inputs["rows"][0] / "train" / "weights.npy")
        assert set(found.tolist()) == expected
