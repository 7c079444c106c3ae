"""GPT-2's layout, both ways: logits equal transformers', with and without biases."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, GPT2Model

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.step import BadInput
from tests.llm.models.conftest import VOCABULARY
from tests.llm.models.random_weights import randomise

SIZES = {"preset": "gpt2", "layers": 2, "d_model": 48, "heads": 4, "context_length": 32}
TOKENS = torch.randint(VOCABULARY, (3, 32), generator=torch.Generator().manual_seed(2))
THEIRS = {
    "vocab_size": VOCABULARY,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 32,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bias": False, "feed_forward": "gelu"},
        {"feed_forward": "relu2", "hidden": 80, "tie_embeddings": False},
    ],
)
def test_transformers_gives_the_same_logits_for_a_saved_model(
    changes: dict[str, Any], tmp_path: Path, tokenizer_json: Path
) -> None:
    model = Decoder(ModelSettings(**{**SIZES, **changes}).resolve(VOCABULARY))
    randomise(model)
    folder.save(model, tmp_path / "model", tokenizer_json)
    theirs, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), theirs(TOKENS).logits, atol=1e-4, rtol=1e-4)
    again = folder.load_decoder(tmp_path / "model")
    assert again.config == model.config
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name


@pytest.mark.parametrize("activation", ["gelu_new", "gelu"])
@pytest.mark.parametrize("tie", [True, False])
def test_a_model_saved_by_transformers_gives_the_same_logits_here(
    activation: str, tie: bool, tmp_path: Path
) -> None:
    theirs = GPT2LMHeadModel(
        GPT2Config(**THEIRS, activation_function=activation, tie_word_embeddings=tie)
    ).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    ours = folder.load_decoder(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(ours(TOKENS), theirs(TOKENS).logits, atol=1e-4, rtol=1e-4)


def test_the_files_of_gpt2_as_first_published_are_read(tmp_path: Path) -> None:
    theirs = GPT2Model(GPT2Config(**THEIRS)).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)  # no prefix before names, and the masks beside the weights
    tensors = load_file(tmp_path / "model.safetensors")
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 32, 32).tril() for layer in range(2)}
    save_file({**tensors, **masks}, tmp_path / "model.safetensors")
    ours = folder.load_decoder(tmp_path)
    with torch.no_grad():
        wanted = theirs(TOKENS).last_hidden_state
        torch.testing.assert_close(ours.hidden_states(TOKENS), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"activation_function": "relu"}, "activation_function 'relu' is not supported"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx True"),
        ({"n_layer": None}, "n_layer must be given"),
        ({"n_inner": 64}, r"tensor transformer\.h\.\d\.mlp\.c_\w+\.\w+ is \("),
        ({"n_layer": 3}, r"the weights lack transformer\.h\.2"),
        ({"bias": False}, "is not zero, but the model of config.json"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, Any], named: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    model = Decoder(ModelSettings(**SIZES).resolve(VOCABULARY))
    randomise(model)
    folder.save(model, tmp_path, tokenizer_json)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, **changes}))
    with pytest.raises(BadInput, match=named):
        folder.load_decoder(tmp_path)
