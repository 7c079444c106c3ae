"""LoRA: what is learned is what peft reads, the rest stays as it was, and a merged model is the sum."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from llm.models import folder, low_rank
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.models.layers import Linear, project
from llm.models.low_rank import LowRank
from llm.step import BadInput, Inputs, StepResult
from llm.tokens.special import MESSAGE_END_ID, MESSAGE_START_ID, reserved
from llm.training.finetune import lora
from llm.training.finetune.classify import Classify, ClassifySettings
from llm.training.finetune.instruct import Instruct, InstructSettings
from llm.training.finetune.prepare import prepare
from llm.training.finetune.settings import LoraSettings, TuningSchedule
from llm.training.finetune.step import finetune
from llm.training.ranks.launch import TrainingError
from tests.examples import write_conversations
from tests.llm.training.finetune import test_of_texts as of_texts
from tests.llm.training.finetune.talks import CONTEXT, byte_tokenizer, conversation
from tests.llm.training.finetune.test_step import at, kill_after_steps

SHAPES: dict[str, dict[str, Any]] = {
    "qwen3": {"preset": "qwen3", "initialisation": "normal"},
    "untied": {"preset": "llama", "tie_embeddings": False, "initialisation": "normal"},
    "gpt2": {"preset": "gpt2", "dropout": 0.0},
    "bart": {"preset": "bart", "dropout": 0.0},
}
LORA = LoraSettings(type="lora", rank=4, alpha=8.0)


def base_of(root: Path, shape: str) -> Inputs:
    """A small untrained model of bytes, and questions to learn."""
    tokenizer = byte_tokenizer(reserved(("chat",)))
    sizes = {"layers": 2, "d_model": 32, "heads": 2, "hidden": 64, "context_length": CONTEXT}
    settings = ModelSettings(**{**sizes, **SHAPES[shape]})
    model = build(settings.resolve(tokenizer.get_vocab_size()), torch.float32)
    model.initialise(seed=0)
    (root / "data").mkdir(parents=True)
    tokenizer.save(str(root / "tokenizer.json"))
    folder.save(model, root / "base" / "model", root / "tokenizer.json")
    for split, count in (("train", 20), ("validation", 4)):
        talks = [conversation(number) for number in range(count)]
        write_conversations(root / "data" / f"{split}.arrow", talks)
    return {"model": [root / "base"], "data": [root / "data"]}


def settings(**changes: Any) -> InstructSettings:
    values: dict[str, Any] = {
        "name": "ask",
        "data": "x",
        "steps": 30,
        "batch_tokens": 4 * CONTEXT,
        "schedule": TuningSchedule(peak_lr=0.02),
        "precision": "fp32",
        "adapt": LORA,
    }
    return InstructSettings(**{**values, **changes})


def tune(values: Any, made: Inputs, root: Path, processes: int = 1) -> tuple[StepResult, Path]:
    rows = at(root / "rows")
    prepare(values, made, rows)
    context = at(root / "tuned", processes)
    inputs = {"model": made["model"], "rows": [rows.out]}
    return finetune(values, inputs, context), context.out


@pytest.mark.parametrize("shape", SHAPES)
def test_peft_reads_what_was_learned(shape: str, tmp_path: Path) -> None:
    made = base_of(tmp_path, shape)
    result, out = tune(settings(), made, tmp_path)
    loss = result.counts["validation_loss"]
    assert loss["after"] < loss["before"] - 0.2  # of an untrained base, whose weights stay
    base = made["model"][0] / "model"
    kind = AutoModelForSeq2SeqLM if shape == "bart" else AutoModelForCausalLM
    theirs = peft.PeftModel.from_pretrained(kind.from_pretrained(base), out / "adapter").eval()
    merged = kind.from_pretrained(out / "model").eval()
    ids = torch.tensor([[1, 80, 90, 100, 2, 1, 70, 71]])
    asked = {"input_ids": ids}
    if shape == "bart":
        asked["decoder_input_ids"] = ids[:, :4]
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(**asked).logits, merged(**asked).logits, rtol=1e-4, atol=1e-4
        )
        if shape != "bart":
            ours = folder.load_model(out / "model").eval()
            torch.testing.assert_close(ours(ids), theirs(**asked).logits, rtol=1e-4, atol=1e-4)
        long = {"do_sample": False, "max_new_tokens": 40}
        said = (one.generate(input_ids=ids, **long)[0].tolist() for one in (theirs, merged))
        assert next(said) == next(said)


def test_what_is_frozen_keeps_its_bits_and_counts_say_what_is_not(tmp_path: Path) -> None:
    made = base_of(tmp_path, "qwen3")
    values = settings(adapt=replace(LORA, targets=("q_proj", "v_proj")), steps=5)
    result, out = tune(values, made, tmp_path)
    before, after = (
        load_file(one / "model" / "model.safetensors") for one in (made["model"][0], out)
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        "model.embed_tokens.weight",
        *(f"model.layers.{n}.self_attn.{name}_proj.weight" for n in (0, 1) for name in "qv"),
    }
    table = "model.embed_tokens.weight"
    rows = (before[table] != after[table]).any(1).nonzero()[:, 0].tolist()
    assert rows == [MESSAGE_START_ID, MESSAGE_END_ID]
    adapter = load_file(out / "adapter" / "adapter_model.safetensors")
    assert result.counts["trained_parameters"] == sum(one.numel() for one in adapter.values())
    assert result.counts["parameters"] == sum(one.numel() for one in before.values())
    assert result.counts["merged_distance"] <= 1e-4
    config = folder.read_config(made["model"][0] / "model")
    planned = lora.planned_counts(config, values.adapt, Instruct.reserves)
    assert planned == {name: result.counts[name] for name in planned}


@pytest.mark.parametrize("shape", ["bert", "qwen3", "gpt2", "own encoder", "encoder_decoder"])
def test_a_head_for_texts_is_trained_whole_and_part_of_the_adapter(
    shape: str, tmp_path: Path
) -> None:
    splits = {"train": of_texts.texts(120, 1), "validation": of_texts.texts(60, 2)}
    data = of_texts.write_shards(tmp_path / "data", Classify.said, splits)
    values = of_texts.settings(adapt=LORA, schedule=of_texts.TextSchedule(peak_lr=0.02), epochs=20)
    base = of_texts.base_of(tmp_path / "base", **of_texts.SHAPES[shape])
    result, out = tune(values, {"model": [base], "data": [data]}, tmp_path)
    assert result.counts["validation_accuracy"]["after"] > 0.9
    config = json.loads((out / "model" / "config.json").read_text())
    if config["model_type"] == "penstock":
        return  # no class of transformers for peft to change
    theirs = AutoModelForSequenceClassification.from_pretrained(base / "model", num_labels=2)
    theirs = peft.PeftModel.from_pretrained(theirs, out / "adapter").eval()
    merged = AutoModelForSequenceClassification.from_pretrained(out / "model").eval()
    ids = torch.tensor([[6, 80, 90, 100, 7]])
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(input_ids=ids).logits, merged(input_ids=ids).logits, rtol=1e-4, atol=1e-4
        )


def test_an_adapter_learns_at_the_rate_and_with_the_optimizer_of_the_defaults(
    tmp_path: Path,
) -> None:
    splits = {"train": of_texts.texts(120, 1), "validation": of_texts.texts(60, 2)}
    data = of_texts.write_shards(tmp_path / "data", Classify.said, splits)
    usual = ClassifySettings(task="classify", name="kind", data="x", adapt=LORA)
    assert (usual.optimizer.type, usual.trained_by.type) == ("muon", "adamw")
    values = of_texts.settings(adapt=LORA, optimizer=usual.optimizer, schedule=usual.schedule)
    base = of_texts.base_of(tmp_path / "base", preset="bert")
    result, _ = tune(values, {"model": [base], "data": [data]}, tmp_path)
    assert result.counts["validation_accuracy"]["after"] > 0.9


def test_killed_with_two_processes_a_retry_gives_the_bits_of_one_undisturbed_with_dropout_too(
    tmp_path: Path,
) -> None:
    made = base_of(tmp_path, "qwen3")
    values = settings(adapt=replace(LORA, dropout=0.1), steps=150, checkpoint_every=20)
    alone, out = tune(values, made, tmp_path / "one")
    work = tmp_path / "two" / "tuned" / "work"
    killer = threading.Thread(target=kill_after_steps, args=(work, 30))
    killer.start()
    with pytest.raises(TrainingError):
        tune(values, made, tmp_path / "two", processes=2)
    killer.join()
    assert any((work / "checkpoints").iterdir())
    again, other = tune(values, made, tmp_path / "two", processes=2)
    assert alone == again
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors", "seen.jsonl"):
        assert (out / name).read_bytes() == (other / name).read_bytes()


def changed(layers: list[Linear], share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for layer in layers:
        torch.nn.init.normal_(layer.weight, generator=generator)
    for layer in layers[:-1]:  # the last one is frozen and has none
        layer.low_rank = LowRank(layer, 3, 6.0, share, generator)
        torch.nn.init.normal_(layer.low_rank.up, generator=generator)
    for layer in layers:
        layer.weight.requires_grad_(False)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_outputs_and_gradients_are_those_of_the_formula(share: float) -> None:
    layers = [Linear(8, 6), Linear(8, 4), Linear(8, 5)]
    changed(layers, share)
    x = torch.randn(2, 7, 8, requires_grad=True)
    slope = torch.randn(2, 7, 15)
    learned = [p for one in layers[:-1] for p in (one.low_rank.down, one.low_rank.up)]
    torch.manual_seed(3)
    found = torch.autograd.grad((project(x, layers) * slope).sum(), [x, *learned])
    torch.manual_seed(3)
    outputs = []
    for layer in layers:
        y = x @ layer.weight.T
        if layer.low_rank is not None:
            low = layer.low_rank.dropout(x) @ layer.low_rank.down.T
            y = y + 6.0 / 3 * (low @ layer.low_rank.up.T)
        outputs.append(y)
    wanted = torch.autograd.grad((torch.cat(outputs, -1) * slope).sum(), [x, *learned])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_fused_block_learns_as_its_parts_do(tmp_path: Path) -> None:
    shape = {"layers": 1, "d_model": 32, "heads": 2, "hidden": 64, "context_length": 16}
    model = build(ModelSettings(**shape).resolve(50), torch.float32)
    model.initialise(seed=0)
    layers = [one for one in model.modules() if isinstance(one, Linear)]
    changed([*layers, Linear(1, 1)], 0.0)
    model.requires_grad_(False)
    learned = [p for _, _, one in low_rank.low_ranks(model) for p in (one.down, one.up)]
    for parameter in learned:
        parameter.requires_grad_(True)
    tokens = torch.randint(0, 50, (3, 16))

    def gradients() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(model.loss(tokens, tokens), learned)

    fused = gradients()
    with_hook = layers[0].register_forward_hook(lambda *_: None)  # a watched block is not fused
    for one, other in zip(fused, gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    with_hook.remove()


def test_a_merge_that_is_not_the_sum_stops_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"layers": 1, "d_model": 32, "heads": 2, "hidden": 64, "context_length": 16}
    model = build(ModelSettings(**shape).resolve(50), torch.float32)
    model.initialise(seed=0)
    layers = [one for one in model.modules() if isinstance(one, Linear)]
    changed([*layers, Linear(1, 1)], 0.0)
    tokens = torch.arange(16)[None]

    class Rows:
        def tensors(self, span: slice, device: torch.device) -> dict[str, torch.Tensor]:
            return {"tokens": tokens}

    def forgets(model: torch.nn.Module) -> None:
        next(low_rank.low_ranks(model))[1].low_rank = None
        low_rank.merge(model)

    monkeypatch.setattr(lora, "merge", forgets)
    with pytest.raises(RuntimeError, match="the adapter was not merged as it was trained"):
        lora.merge_checked(model, Rows())  # type: ignore[arg-type]


def test_a_target_that_the_model_lacks_is_refused_before_training(tmp_path: Path) -> None:
    made = base_of(tmp_path, "gpt2")
    values = settings(adapt=replace(LORA, targets=("q_proj", "gate_proj")))
    with pytest.raises(BadInput, match=r"adapt\.targets names gate_proj, and the model has none"):
        tune(values, made, tmp_path)
