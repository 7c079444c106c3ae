"""BERT's layouts, both ways: the logits of both heads equal transformers'."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
)

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.encoder import Encoder
from llm.step import BadInput
from tests.llm.models.conftest import VOCABULARY
from tests.llm.models.random_weights import randomise

GENERATOR = torch.Generator().manual_seed(2)
TOKENS = torch.randint(VOCABULARY, (3, 32), generator=GENERATOR)
TYPES = (torch.arange(32) >= 13).long().expand(3, 32)
REAL = torch.arange(32) < torch.tensor([[32], [20], [7]])  # (3, 32): the rest is padding
CONFIG = BertConfig(
    vocab_size=VOCABULARY,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=80,
    max_position_embeddings=32,
)


def encoder(**changes: Any) -> Encoder:
    sizes = {"layers": 2, "d_model": 48, "heads": 4, "context_length": 32}
    settings = ModelSettings(**{"preset": "bert", **sizes, **changes})
    model = Encoder(settings.resolve(VOCABULARY)).eval()
    randomise(model)
    return model


def load(path: Path) -> Encoder:
    model = folder.load_model(path)
    assert isinstance(model, Encoder)
    return model


def assert_alike(ours: Encoder, theirs: Any) -> None:
    """Logits of the masked head at real places, and of the next-sentence head where there is one."""
    with torch.no_grad():
        wanted = theirs(TOKENS, attention_mask=REAL.long(), token_type_ids=TYPES)
        found = ours(TOKENS, REAL.long(), TYPES)
        masked = wanted.prediction_logits if "prediction_logits" in wanted else wanted.logits
        torch.testing.assert_close(found[REAL], masked[REAL], atol=1e-4, rtol=1e-4)
        if "seq_relationship_logits" in wanted:
            follows = ours.follows(TOKENS, REAL.long(), TYPES)
            expected = wanted.seq_relationship_logits
            torch.testing.assert_close(follows, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("feed_forward", ["gelu", "gelu_tanh"])
@pytest.mark.parametrize(
    "both, theirs", [(True, AutoModelForPreTraining), (False, AutoModelForMaskedLM)]
)
def test_transformers_gives_the_same_logits_for_a_saved_model(
    both: bool, theirs: Any, feed_forward: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    model = encoder(next_sentence=both, feed_forward=feed_forward)
    folder.save(model, tmp_path / "model", tokenizer_json)
    loaded, report = theirs.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert_alike(model, loaded)
    again = load(tmp_path / "model")
    assert again.config == model.config
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name


@pytest.mark.parametrize("make", [BertForPreTraining, BertForMaskedLM])
def test_a_model_saved_by_transformers_gives_the_same_logits_here(
    make: Any, tmp_path: Path
) -> None:
    theirs = make(CONFIG).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    assert_alike(load(tmp_path).eval(), theirs)


def test_the_bare_model_is_read_and_its_heads_start_anew(tmp_path: Path) -> None:
    theirs = BertModel(CONFIG).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    ours = load(tmp_path).eval()
    with torch.no_grad():
        wanted = theirs(TOKENS, attention_mask=REAL.long(), token_type_ids=TYPES)
        states = ours.hidden_states(TOKENS, REAL.long(), TYPES)
        last = wanted.last_hidden_state[REAL]
        torch.testing.assert_close(states[REAL], last, atol=1e-4, rtol=1e-4)
        assert ours.next_sentence is not None and ours.transform is not None
        pooled = torch.tanh(ours.next_sentence.pooler(states[:, 0]))
        torch.testing.assert_close(pooled, wanted.pooler_output, atol=1e-4, rtol=1e-4)
    assert ours.transform.dense.weight.std().item() == pytest.approx(0.02, rel=0.1)
    for name, parameter in load(tmp_path).named_parameters():
        assert torch.equal(parameter, ours.get_parameter(name)), name


def test_the_old_names_of_a_norms_weights_are_read(tmp_path: Path) -> None:
    theirs = BertForPreTraining(CONFIG).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(old, path)
    assert_alike(load(tmp_path).eval(), theirs)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"architectures": ["BertForQuestionAnswering"]}, "BertForQuestionAnswering"),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is not supported"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"is_decoder": True}, "is_decoder True"),
        ({"num_hidden_layers": 3}, r"the weights lack bert\.encoder\.layer\.2"),
        ({"type_vocab_size": 3}, r"token_type_embeddings\.weight is \(2, 48\)"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, Any], named: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    folder.save(encoder(), tmp_path, tokenizer_json)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, **changes}))
    with pytest.raises(BadInput, match=named):
        folder.load_model(tmp_path)
