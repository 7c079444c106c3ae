"""Heads for whole texts: `transformers` loads the folder as its class for them, with equal outputs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings, Outputs
from llm.models.layouts import choose
from llm.models.output_head import pooled
from llm.step import BadInput
from tests.llm.training.finetune.talks import byte_tokenizer

SIZES: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 2, "hidden": 64, "context_length": 48}
LABELS = ("cold", "hot, or warm", "süß")


def model_of(preset: str, pooling: str, problem: str = "single_label_classification", **more: Any):
    settings = ModelSettings(preset=preset, **{**SIZES, **more})
    config = settings.resolve(byte_tokenizer().get_vocab_size())
    outputs = Outputs(problem=problem, labels=LABELS, pooling=pooling)  # type: ignore[arg-type]
    config = type(config)(**{**vars(config), "outputs": outputs})
    model = build(config, torch.float32)
    model.initialise(seed=1)
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))
    return model.eval()


def saved(model, root: Path) -> Path:
    byte_tokenizer().save(str(root / "tokenizer.json"))
    folder.save(model, root / "model", root / "tokenizer.json")
    return root / "model"


@pytest.mark.parametrize(
    ("preset", "pooling"),
    [("bert", "first"), ("qwen3", "last"), ("llama", "last"), ("gpt2", "last")],
)
def test_transformers_says_the_same_of_a_text(preset: str, pooling: str, tmp_path: Path) -> None:
    model = model_of(preset, pooling)
    path = saved(model, tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(path).eval()
    assert type(theirs).__name__.endswith("ForSequenceClassification")
    assert theirs.config.id2label == dict(enumerate(LABELS))
    assert theirs.config.problem_type == "single_label_classification"
    tokens = torch.randint(4, 260, (3, 11), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ours = model.outputs(tokens, torch.ones_like(tokens))
        torch.testing.assert_close(ours, theirs(tokens).logits, rtol=1e-4, atol=1e-5)
    again = folder.load_model(path)
    assert again.config.outputs == model.config.outputs
    with torch.no_grad():
        torch.testing.assert_close(again.eval().outputs(tokens, torch.ones_like(tokens)), ours)


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_what_transformers_writes_is_read(problem: str, tmp_path: Path) -> None:
    path = saved(model_of("bert", "first", problem), tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(path)
    assert theirs.config.problem_type == problem
    theirs.save_pretrained(tmp_path / "theirs")
    found = folder.read_config(tmp_path / "theirs")
    assert found.outputs == Outputs(problem=problem, labels=LABELS, pooling="first")  # type: ignore[arg-type]
    config = AutoConfig.from_pretrained(path, num_labels=1)
    config.problem_type = None
    one = AutoModelForSequenceClassification.from_config(config)
    one.save_pretrained(tmp_path / "one")
    found = folder.read_config(tmp_path / "one")
    assert found.outputs is not None
    assert found.outputs.problem == "regression"


def test_models_of_no_layout_are_written_in_penstock_s_own(tmp_path: Path) -> None:
    model = model_of("qwen3", "mean", architecture="encoder", export="own")
    path = saved(model, tmp_path)
    again = folder.load_model(path)
    assert again.config.outputs == model.config.outputs
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), parameter)
    assert choose.misfits(model_of("bert", "mean", export="own").config, "bert") == ["outputs"]
    with pytest.raises(BadInput, match="says cold, hot, or warm, süß of texts"):
        folder.load_decoder(saved(model_of("qwen3", "last"), tmp_path))


@pytest.mark.parametrize("pooling", ["first", "mean", "last"])
@pytest.mark.parametrize("preset", ["bert", "qwen3"])
def test_texts_of_a_row_are_told_as_if_alone(preset: str, pooling: str) -> None:
    model = model_of(preset, pooling, export="own")
    texts = [
        torch.randint(4, 260, (size,), generator=torch.Generator().manual_seed(size))
        for size in (5, 9, 3, 12)
    ]
    row = torch.cat([*texts[:3], torch.zeros(4, dtype=torch.long)])
    other = torch.cat([texts[3], torch.zeros(len(row) - 12, dtype=torch.long)])
    segments = torch.tensor([[1] * 5 + [2] * 9 + [3] * 3 + [0] * 4, [1] * 12 + [0] * 9])
    with torch.no_grad():
        packed = model.outputs(torch.stack([row, other]), segments)
        alone = [model.outputs(one[None], torch.ones_like(one[None])) for one in texts]
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_pooling_takes_the_states_that_it_says() -> None:
    x = torch.arange(6.0).view(1, 6, 1)
    segments = torch.tensor([[1, 1, 1, 2, 2, 0]])
    assert pooled(x, segments, "first").flatten().tolist() == [0, 3]
    assert pooled(x, segments, "last").flatten().tolist() == [2, 4]
    assert pooled(x, segments, "mean").flatten().tolist() == [1, 3.5]
