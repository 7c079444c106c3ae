"""The encoder against transformers' BERT, losses and gradients, and what it does with segments."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertForPreTraining

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.encoder import Encoder
from llm.models.layouts import bert
from llm.models.layouts.table import stored_name
from tests.llm.models.random_weights import randomise

VOCABULARY = 83
TOKENS = torch.randint(VOCABULARY, (4, 24), generator=torch.Generator().manual_seed(2))


def encoder(**changes: Any) -> Encoder:
    sizes: dict[str, Any] = {"layers": 2, "d_model": 48, "heads": 4, "context_length": 24}
    settings = ModelSettings(**{**sizes, "architecture": "encoder", **changes})
    model = Encoder(settings.resolve(VOCABULARY))
    randomise(model)
    return model


@pytest.fixture
def targets() -> torch.Tensor:
    """A quarter of the places count."""
    hidden = torch.rand(4, 24, generator=torch.Generator().manual_seed(3)) < 0.25
    return TOKENS.flip(1).where(hidden, -100)


def test_both_losses_and_their_gradients_equal_transformers(
    tmp_path: Any, targets: torch.Tensor
) -> None:
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=80,
        max_position_embeddings=24,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    theirs = BertForPreTraining(config)
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    ours = folder.load_model(tmp_path)
    assert isinstance(ours, Encoder)
    types = (torch.arange(24) > 9).long().expand(4, 24)
    segments = (torch.arange(24) < torch.tensor([[24], [24], [20], [11]])).long()
    targets = targets.where(segments == 1, -100)
    follows = torch.tensor([1, 0, 1, -100])
    found = ours.loss(TOKENS, targets, segments, types, follows, pair_weight=0.5)
    labels = torch.tensor([0, 1, 0, -100])  # theirs: 0 says that it follows
    answer = theirs(TOKENS, attention_mask=segments, token_type_ids=types)
    expected = F.cross_entropy(
        answer.prediction_logits.flatten(0, 1), targets.flatten(), reduction="sum"
    ) + 0.5 * F.cross_entropy(answer.seq_relationship_logits, labels, reduction="sum")
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    table = bert.table(ours.config, [name for name, _ in ours.named_parameters()])
    for name, parameter in ours.named_parameters():
        wanted = gradients[stored_name(table, name)]
        torch.testing.assert_close(parameter.grad, wanted, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("preset", ["qwen3", "bert"])
def test_the_loss_is_the_sum_of_the_tokens_losses(preset: str, targets: torch.Tensor) -> None:
    model = encoder(preset=preset, dropout=0.0)
    each = model.token_losses(TOKENS, targets)
    torch.testing.assert_close(model.loss(TOKENS, targets), each.sum())
    logits = model(TOKENS).log_softmax(-1)
    picked = -logits.gather(2, targets.clamp(min=0)[:, :, None])[:, :, 0] * (targets != -100)
    torch.testing.assert_close(each, picked)


@pytest.mark.parametrize("changes", [{}, {"preset": "bert", "dropout": 0.0}, {"window": 3}])
def test_segments_in_a_row_are_as_good_as_rows_of_their_own(changes: dict[str, Any]) -> None:
    model = encoder(**changes)
    segments = torch.tensor([[1] * 11 + [2] * 8 + [0] * 5]).expand(4, 24)
    apart = torch.cat((model(TOKENS[:, :11]), model(TOKENS[:, 11:19])), dim=1)
    found = model(TOKENS, segments)[:, :19]
    torch.testing.assert_close(found, apart, atol=1e-4, rtol=1e-4)


def test_every_token_is_seen_from_every_place_unless_a_window_hides_it() -> None:
    changed = TOKENS.clone()
    changed[:, 12] = (changed[:, 12] + 1) % VOCABULARY
    differs = (encoder()(changed) != encoder()(TOKENS)).any(-1)
    assert differs.all()
    near = encoder(window=3, layers=1)
    differs = (near(changed) != near(TOKENS)).any(-1)
    assert differs.any(0).nonzero().flatten().tolist() == [10, 11, 12, 13, 14]


def test_without_pairs_their_head_has_gradients_of_zero(targets: torch.Tensor) -> None:
    model = encoder(preset="bert")
    model.loss(TOKENS, targets).backward()
    assert model.next_sentence is not None
    for parameter in model.next_sentence.parameters():
        assert parameter.grad is not None and not parameter.grad.any()


def test_what_the_model_has_not_is_refused_with_the_field_that_gives_it() -> None:
    model = encoder()
    with pytest.raises(ValueError, match=r"model\.next_sentence"):
        model.loss(TOKENS, TOKENS, pairs=torch.ones(4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"model\.token_types"):
        model(TOKENS, types=torch.zeros_like(TOKENS))
    with pytest.raises(ValueError, match="25 tokens are more than the context length of 24"):
        model(torch.zeros(1, 25, dtype=torch.long))
