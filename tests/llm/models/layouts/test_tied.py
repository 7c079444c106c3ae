"""Folders whose config.json says tied while their file holds a head: compared, never assumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llm.models import folder
from llm.step import BadInput
from tests.llm.models.random_weights import randomise

TOKENS = torch.randint(97, (2, 16), generator=torch.Generator().manual_seed(3))
QWEN3 = Qwen3Config(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=32,
    tie_word_embeddings=True,
)
GPT2 = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=32)
BERT = BertConfig(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=32,
)
EMBEDDING = {"qwen3": "model.embed_tokens.weight", "gpt2": "transformer.wte.weight"}


def saved(model: Any, path: Path, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    """A folder by transformers with tensors changed or added; all its tensors."""
    randomise(model)
    model.save_pretrained(path)
    tensors = {**load_file(path / "model.safetensors"), **more}
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    return tensors


@pytest.mark.parametrize("make, config", [(Qwen3ForCausalLM, QWEN3), (GPT2LMHeadModel, GPT2)])
def test_a_head_of_its_own_is_read_as_transformers_reads_it(
    make: Any, config: Any, tmp_path: Path
) -> None:
    head = torch.randn(97, 32, generator=torch.Generator().manual_seed(4))
    saved(make(config), tmp_path, **{"lm_head.weight": head})
    assert not folder.read_config(tmp_path).tie_embeddings
    ours, theirs = folder.load_decoder(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(ours(TOKENS), theirs(TOKENS).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make, config", [(Qwen3ForCausalLM, QWEN3), (GPT2LMHeadModel, GPT2)])
def test_a_head_that_repeats_the_embedding_stays_tied(
    make: Any, config: Any, tmp_path: Path
) -> None:
    tensors = saved(make(config), tmp_path)
    embedding = tensors[EMBEDDING[config.model_type]]
    save_file(
        {**tensors, "lm_head.weight": embedding.clone()},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    assert folder.load_decoder(tmp_path).config.tie_embeddings


@pytest.mark.parametrize("name", ["decoder.weight", "decoder.bias"])
def test_a_bert_whose_repeated_tensor_differs_is_refused(name: str, tmp_path: Path) -> None:
    shape = (97, 32) if name == "decoder.weight" else (97,)
    saved(BertForPreTraining(BERT), tmp_path, **{f"cls.predictions.{name}": torch.ones(shape)})
    with pytest.raises(BadInput, match=rf"tensor cls\.predictions\.{name} differs from"):
        folder.load_model(tmp_path)
