"""A larger vocabulary against transformers' resize_token_embeddings, logits of old and new tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llm.models import folder
from llm.models.build import build
from llm.models.growth import grown
from tests.llm.models.conftest import VOCABULARY
from tests.llm.models.random_weights import randomise

MORE = VOCABULARY + 7
TOKENS = torch.randint(VOCABULARY, (3, 32), generator=torch.Generator().manual_seed(2))
GPT2 = {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 32}
LLAMA = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 32,
}
BERT = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 32,
}


@pytest.mark.parametrize(
    "make, config",
    [
        (GPT2LMHeadModel, GPT2Config(vocab_size=VOCABULARY, **GPT2)),
        (
            GPT2LMHeadModel,
            GPT2Config(vocab_size=VOCABULARY, **GPT2, tie_word_embeddings=False),
        ),
        (LlamaForCausalLM, LlamaConfig(vocab_size=VOCABULARY, **LLAMA, tie_word_embeddings=False)),
        (Qwen3ForCausalLM, Qwen3Config(vocab_size=VOCABULARY, **LLAMA, tie_word_embeddings=True)),
        (BertForMaskedLM, BertConfig(vocab_size=VOCABULARY, **BERT)),
        (BertForPreTraining, BertConfig(vocab_size=VOCABULARY, **BERT)),
    ],
    ids=["gpt2", "gpt2 untied", "llama untied", "qwen3 tied", "bert", "bert with both heads"],
)
def test_a_grown_model_gives_the_logits_that_transformers_gives(
    make: Any, config: Any, tmp_path: Path, tokenizer_json: Path
) -> None:
    theirs = make(config).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path / "theirs")
    small = folder.load_model(tmp_path / "theirs")
    state = small.state_dict()
    larger = grown(state, MORE)
    for name, old in state.items():
        assert torch.equal(larger[name][: len(old)], old), name
    fields = {**small.config.__dict__, "vocabulary": MORE}
    ours = build(type(small.config)(**fields)).eval()
    ours.load_state_dict(larger)

    def logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
        made = model(tokens)
        found: torch.Tensor = made.prediction_logits if "prediction_logits" in made else made.logits
        return found

    with torch.no_grad():
        before = logits(theirs, TOKENS)
        torch.testing.assert_close(ours(TOKENS)[..., :VOCABULARY], before, atol=1e-4, rtol=0)
        folder.save(ours, tmp_path / "ours", tokenizer_json)
        again = make.from_pretrained(tmp_path / "ours")
        torch.testing.assert_close(logits(again, TOKENS), ours(TOKENS), atol=1e-4, rtol=0)
        # Their means have a noise, of 1e-9 of the covariance.
        theirs.resize_token_embeddings(MORE, mean_resizing=True)
        bias = theirs.get_output_embeddings().bias
        if bias is not None:  # those of a tied head are padded with zeros there
            bias[VOCABULARY:] = bias[:VOCABULARY].mean()
        tokens = torch.cat([TOKENS[:, :-7], torch.arange(VOCABULARY, MORE).expand(3, 7)], 1)
        found = ours(tokens)
        torch.testing.assert_close(found, logits(theirs, tokens), atol=2e-3, rtol=0)
    # Jensen: the exponential of a mean is at most the mean of the exponentials.
    likely = found.softmax(-1)
    old = likely[..., :VOCABULARY].mean(-1, keepdim=True)
    assert (likely[..., VOCABULARY:] <= old * (1 + 1e-5)).all()


def test_a_smaller_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="embedding has 4 rows, more than 3"):
        grown({"embedding": torch.ones(4, 2)}, 3)
